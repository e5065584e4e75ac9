"""Classes and a method with annotations like vLLM's."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import AsyncGenerator, Iterable
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.validation.annotations import checker


class Kind(enum.Enum):
    CUMULATIVE = 0
    DELTA = 1


class Params(msgspec.Struct):
    n: int = 1
    temperature: float = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    kind: Kind = Kind.CUMULATIVE
    bias: dict[int, float] | None = None
    _secret: int = 0

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")


@dataclasses.dataclass
class Adapter:
    name: str
    path: str
    rank: Annotated[int, "a note"] = 8


class Text(TypedDict):
    prompt: str
    salt: NotRequired[str]


class Tokens(TypedDict):
    prompt_token_ids: list[int]


Prompt = str | list[int] | Text | Tokens | AsyncGenerator[Text, None]


class Engine:
    def generate(
        self, prompt: Prompt, params: Params, request_id: str, *, priority: int = 0
    ) -> None:
        """As vLLM's."""

    def abort(self, request_id: str | Iterable[str], internal: bool = False) -> None:
        """As vLLM's."""

    def anything(self, *args: Any, **kwargs: Any) -> None:
        """Takes what comes."""


def refusal(annotation: Any, value: object) -> InvalidArgument:
    """Returns the error of a value that does not fit."""
    with pytest.raises(InvalidArgument) as caught:
        checker(annotation)(value, "it")
    return caught.value
