"""The arguments of a node's engine, from a file and from the command line."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from python_worker.engines.guards.worker_extension import checked_path
from python_worker.node.command_line import NodeSettings
from python_worker.settings import SettingsError


def read_file(path: Path) -> dict[str, Any]:
    """The engine arguments of a file.

    Raises:
        SettingsError: It cannot be read, or has no map of them.
    """
    read = READERS.get(path.suffix)
    if read is None:
        raise SettingsError(
            f"--config {path}: the name of the file has to end in {', '.join(READERS)}"
        )
    try:
        found = read(path.read_text(encoding="utf-8"))
    except Exception as error:  # each of the three formats has errors of its own
        raise SettingsError(f"--config {path} cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SettingsError(f"--config {path}: wants a map from names of arguments to values")
    return {name.replace("-", "_"): value for name, value in found.items()}


def _read_yaml(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


READERS: Mapping[str, Callable[[str], Any]] = {
    ".json": json.loads,
    ".toml": tomllib.loads,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
}
"""What reads a file, by the end of its name."""


def parse_words(words: Sequence[str]) -> dict[str, Any]:
    """The engine arguments of a command line, only those that it gives; imports vLLM.

    Args:
        words: As ``vllm serve`` takes them: first the model, unless it is an option.

    Raises:
        SettingsError: A word is not understood.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    words = list(words)
    model = [] if not words or words[0].startswith("-") else [words.pop(0)]
    parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser(add_help=False))
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    parser.error = _refuse
    given = vars(parser.parse_args(words))
    names = set(AsyncEngineArgs.__dataclass_fields__)
    return {name: value for name, value in given.items() if name in names} | (
        {"model": model[0]} if model else {}
    )


def _refuse(message: str) -> None:
    raise SettingsError(f"options of the engine: {message}")


def engine_args(settings: NodeSettings, fields: Mapping[str, Any]) -> Any:
    """An ``AsyncEngineArgs`` for one configuration; making that changes it.

    Args:
        settings: What the node was told.
        fields: The arguments of the engine.

    Raises:
        InvalidArgument: vLLM does not take them.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs

    from python_worker.validation.annotations import checker

    made = checker(AsyncEngineArgs)({**fields, **place(settings, fields)}, "engine_args")
    # As the head has it, so that every call of the head finds the same methods here.
    made.worker_extension_cls = checked_path(made.worker_extension_cls)
    return made


def place(settings: NodeSettings, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that say where the head is and which ranks are here."""
    if fields.get("nnodes", 1) > 1:
        return {"master_addr": settings.host, "master_port": settings.port}
    return {
        "data_parallel_address": settings.host,
        "data_parallel_rpc_port": settings.port,
        "data_parallel_start_rank": settings.start_rank,
        "data_parallel_size_local": settings.local_size,
    }
