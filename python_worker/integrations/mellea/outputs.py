"""The outputs of a request: the engine's own, and those that a client has received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from python_worker.exceptions import InvalidArgument


@dataclass(frozen=True)
class Completion:
    """One of the texts of an output."""

    index: int
    text: str
    token_ids: list[Any]
    finish_reason: str | None


@dataclass(frozen=True)
class Output:
    """What a client has received of a request, with what a thunk takes of it."""

    outputs: list[Completion]
    prompt_token_ids: list[Any] | None


def output_of(chunk: Mapping[str, Any]) -> Output:
    """An output that a client sends.

    Args:
        chunk: With the fields of vLLM's ``RequestOutput``; only those of ``Output`` are read.

    Raises:
        InvalidArgument: It has no list of completions, or one of them has no text.
    """
    completions = chunk.get("outputs")
    if not isinstance(completions, list):
        raise InvalidArgument(
            "chunk.outputs: wants the list of an output's completions", parameter="chunk.outputs"
        )
    prompt = chunk.get("prompt_token_ids")
    if prompt is not None and not isinstance(prompt, list):
        raise InvalidArgument(
            "chunk.prompt_token_ids: wants a list", parameter="chunk.prompt_token_ids"
        )
    made = [_completion(it, f"chunk.outputs[{n}]") for n, it in enumerate(completions)]
    return Output(made, prompt)


def _completion(value: Any, path: str) -> Completion:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{path}: wants a map", parameter=path)
    made = Completion(
        value.get("index", 0),
        value.get("text", ""),
        value.get("token_ids") or [],
        value.get("finish_reason"),
    )
    reason = made.finish_reason
    for name, fits in (
        ("index", type(made.index) is int),
        ("text", isinstance(made.text, str)),
        ("token_ids", isinstance(made.token_ids, list)),
        ("finish_reason", reason is None or isinstance(reason, str)),
    ):
        if not fits:
            raise InvalidArgument(
                f"{path}.{name}: is not what an output has", parameter=f"{path}.{name}"
            )
    return made


def first_of(output: Any) -> Any:
    """The first of several completions; None where an output has only others."""
    return next((it for it in output.outputs if it.index == 0), None)


def text_of(output: Any) -> str:
    """The text of the first completion."""
    completion = first_of(output)
    return "" if completion is None else str(completion.text)
