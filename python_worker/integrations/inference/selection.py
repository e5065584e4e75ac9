"""Which provider is meant: the arguments come first, then variables of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from python_worker.exceptions import InvalidArgument

TYPE_VARIABLE: Final = "INFERENCE_PROVIDER"
DEVICE_VARIABLE: Final = "TRANSFORMERS_DEVICE"

ASYNC_LLM: Final = "async_llm"


@dataclass(frozen=True)
class Place:
    """Where the model of a type of provider is.

    Attributes:
        variable: The variable of the environment that says so.
        default: Where it is if nobody does.
    """

    variable: str
    default: str


PLACES: Final[Mapping[str, Place]] = {
    "vllm": Place("VLLM_BASE_URL", "http://localhost:8100/v1"),
    "ollama": Place("OLLAMA_BASE_URL", "http://localhost:11434/v1"),
    "llamacpp": Place("LLAMACPP_MODEL_PATH", ""),
    "transformers": Place("TRANSFORMERS_MODEL_NAME", ""),
}

DEFAULT_TYPE: Final = "vllm"

TYPES: Final = (*PLACES, ASYNC_LLM)


@dataclass(frozen=True)
class Selection:
    """A provider that was asked for. Equal ones are the same provider.

    Attributes:
        type: One of ``TYPES``.
        place: A URL, a path or a name; empty for an engine.
        device: Of ``transformers``; None for the best there is.
    """

    type: str
    place: str = ""
    device: str | None = None


class Variables:
    """Variables of the environment: those of the caller, then those of the worker.

    Args:
        given: The caller's.
    """

    def __init__(self, given: Mapping[str, str] | None) -> None:
        self._given = given or {}

    def get(self, name: str) -> str:
        """The value of a variable, which is read now; empty if it has none."""
        return self._given.get(name) or os.environ.get(name, "")


def select(type: str | None, place: str | None, variables: Variables) -> Selection:
    """The provider that the arguments of a call mean. An empty string counts as not given.

    Args:
        type: One of ``TYPES``, in any case.
        place: Its URL, path or name.
        variables: What stands for arguments that are not given.

    Raises:
        InvalidArgument: There is no such type.
    """
    chosen = type or variables.get(TYPE_VARIABLE) or DEFAULT_TYPE
    folded = chosen.casefold()
    if folded not in TYPES:
        source = "type" if type else TYPE_VARIABLE
        raise InvalidArgument(
            f"{source}: there is no provider {chosen!r}; there are {', '.join(TYPES)}",
            parameter=source,
            value=chosen,
        )
    if folded == ASYNC_LLM:
        return Selection(ASYNC_LLM)
    known = PLACES[folded]
    return Selection(
        folded,
        place or variables.get(known.variable) or known.default,
        (variables.get(DEVICE_VARIABLE) or None) if folded == "transformers" else None,
    )
