"""Settings from a file and from the environment, below those of the command line.

Each setting is taken from the first of these that has it:

1. the command line: ``--grace 30``
2. the environment: ``VLLM_BRIDGE_GRACE=30``
3. the file that ``--config`` or ``VLLM_BRIDGE_CONFIG`` names: ``grace = 30``
4. the default

A list, such as that of the addresses, is taken whole from one of them. In the environment its
elements are separated by commas, or it is a JSON array. The file is TOML, YAML or JSON, as its name
ends. ``pydantic-settings`` reads both, and is imported only where there is one of the two.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_origin, get_type_hints

if TYPE_CHECKING:
    from pydantic import ValidationError

PREFIX = "VLLM_BRIDGE_"

CONFIG = "config"

# The classes of pydantic-settings that read a file, by the end of its name.
FILE_SOURCES: Mapping[str, str] = {
    ".json": "JsonConfigSettingsSource",
    ".toml": "TomlConfigSettingsSource",
    ".yaml": "YamlConfigSettingsSource",
    ".yml": "YamlConfigSettingsSource",
}


class SourceError(ValueError):
    """The file or the environment has what is no setting, or a value that cannot be."""


def parse(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    environ: Mapping[str, str],
    settings: type,
    but: frozenset[str],
) -> argparse.Namespace:
    """Parse a command line whose options may be given by a file or the environment as well.

    Args:
        parser: Of the command line; an option of a list has no default.
        argv: The command line.
        environ: The environment.
        settings: The dataclass of the settings, whose fields are named as the options.
        but: Fields that are taken from neither.

    Raises:
        SourceError: See there.
    """
    hints = {
        it.name: get_type_hints(settings)[it.name] for it in fields(settings) if it.name not in but
    }
    given, _ = _only_config().parse_known_args(argv)
    path = given.config or environ.get(PREFIX + CONFIG.upper())
    names = {PREFIX + it.upper() for it in hints}
    variables = {name: value for name, value in environ.items() if name in names}
    below: dict[str, Any] = {}
    places: dict[str, str] = {}
    if path is not None:
        below |= (found := read_file(Path(path), hints))
        places |= {name: f"--config {path}: {name}" for name in found}
    if variables:
        below |= (found := read_environment(variables, hints))
        places |= {name: PREFIX + name.upper() for name in found}
    return _over(below, places, parser, argv)


def _only_config() -> argparse.ArgumentParser:
    # Without abbreviations, which could stand for other options of the whole parser.
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f"--{CONFIG}")
    return parser


def _over(
    below: dict[str, Any],
    places: Mapping[str, str],
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
) -> argparse.Namespace:
    """Parse the command line, and fill in what it leaves open."""
    for action in parser._actions:
        if action.dest not in below:
            continue
        value = below[action.dest]
        # argparse checks only what is on the command line.
        if isinstance(value, str) and callable(action.type):
            value = below[action.dest] = action.type(value)
        if action.choices is not None and value not in action.choices:
            choices = ", ".join(map(str, action.choices))
            raise SourceError(f"{places[action.dest]} is one of {choices}, got {value!r}")
        action.required = False
    known = parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(below)))
    for name, value in below.items():
        if getattr(known, name) is None:
            setattr(known, name, value)
    return known


# --- The two sources


def read_file(path: Path, hints: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file.

    Raises:
        SourceError: It cannot be read, or has what is no setting.
    """
    source = FILE_SOURCES.get(path.suffix)
    if source is None:
        raise SourceError(
            f"--config {path}: the name of the file has to end in {', '.join(FILE_SOURCES)}"
        )
    settings = _library(f"--config {path}")
    try:
        with path.open("rb"):  # pydantic-settings passes a missing file over
            found = getattr(settings, source)(_reader(settings, hints), path)()
    except Exception as error:  # each of the three formats has errors of its own
        raise SourceError(f"--config {path} cannot be read: {error}") from error
    return _checked(found, hints, lambda name: f"--config {path}: {name}")


def read_environment(environ: Mapping[str, str], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an environment.

    Raises:
        SourceError: A value cannot be.
    """
    settings = _library(f"the variables {', '.join(sorted(environ))}")
    source = settings.EnvSettingsSource(_reader(settings, hints))
    # It has read the environment of the process; this is the one that was given.
    source.env_vars = {name.lower(): value for name, value in environ.items()}
    return _checked(source(), hints, lambda name: PREFIX + name.upper())


def _library(reason: str) -> Any:
    if importlib.util.find_spec("pydantic_settings") is None:
        raise SourceError(
            f"{reason}: pydantic-settings is not there, which comes with vLLM; use options of the "
            "command line"
        )
    return importlib.import_module("pydantic_settings")


def _fields(hints: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a model, each of which may be left out."""
    from pydantic import BeforeValidator

    return {
        name: (Annotated[hint, BeforeValidator(elements)] if is_list(hint) else hint, None)
        for name, hint in hints.items()
    }


def is_list(hint: Any) -> bool:
    """Whether a setting of this type is a list."""
    return get_origin(hint) is tuple


def _reader(settings: Any, hints: Mapping[str, Any]) -> Any:
    """A model for the sources of pydantic-settings to look for the fields of."""
    from pydantic import create_model

    config = {"env_prefix": PREFIX, "enable_decoding": False}
    base = type("Reader", (settings.BaseSettings,), {"model_config": config})
    return create_model("Reader", __base__=base, **_fields(hints))


def elements(value: object) -> object:
    """A list that is one text: a JSON array, or elements between commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [it.strip() for it in value.split(",") if it.strip()]


def _checked(
    found: dict[str, Any], hints: Mapping[str, Any], where: Callable[[str], str]
) -> dict[str, Any]:
    from pydantic import ConfigDict, ValidationError, create_model

    model: Any = create_model("Given", __config__=ConfigDict(extra="forbid"), **_fields(hints))
    try:
        checked = model.model_validate(found)
    except ValidationError as error:
        raise SourceError(_said(error, where, hints)) from None
    return {name: getattr(checked, name) for name in checked.model_fields_set}


def _said(error: ValidationError, where: Callable[[str], str], known: Iterable[str]) -> str:
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"][:1]))
    if first["type"] == "extra_forbidden":
        # Not its value, which may be a secret.
        return f"{where(name)} is no setting; there are {', '.join(sorted(known))}"
    return f"{where(name)}: {first['msg']}, got {first['input']!r}"
