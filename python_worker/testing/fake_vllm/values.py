"""Values by name, for what a client cannot send: ``FakeAsyncLLM.make("nan")``."""

from __future__ import annotations

import datetime as dt
import enum
import math
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

from python_worker.testing.fake_vllm.errors import EngineDeadError


class Thing:
    """An object that can only be referred to."""

    #: Every Thing there is, so that a test sees one go.
    alive: ClassVar[weakref.WeakSet[Thing]] = weakref.WeakSet()

    def __init__(self, name: str = "thing") -> None:
        self.name = name
        Thing.alive.add(self)

    def greet(self, whom: str = "you") -> str:
        """Returns a greeting."""
        return f"{self.name} greets {whom}"

    def itself(self) -> Thing:
        """Returns the same object."""
        return self

    def _secret(self) -> str:
        return "must not be served"


class Colour(enum.Enum):
    """An enum that no client knows."""

    RED = 1


def make(kind: str) -> Any:
    """Returns a new value.

    Raises:
        LookupError: There is none of that name.
    """
    if kind not in KINDS:
        raise LookupError(f"there is no value {kind!r}, only {', '.join(sorted(KINDS))}")
    return KINDS[kind]()


def cyclic() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = [1]
    value.append(value)
    return value


def deep(depth: int = 100_000) -> list[Any]:
    """Lists in lists; too deep for every encoder that recurses."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def exception() -> Exception:
    """An exception as a value, with a traceback and a cause."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as cause:
            raise ValueError("outer") from cause
    except ValueError as error:
        return error


def _numpy() -> Any:
    import numpy

    return numpy


def _torch() -> Any:
    import torch

    return torch


ZONE = dt.timezone(dt.timedelta(hours=5, minutes=30))

KINDS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    # Numbers
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "minus_inf": lambda: -math.inf,
    "minus_zero": lambda: -0.0,
    "floats": lambda: [5.0e-324, 1.8e308, 1.7976931348623157e308, 0.1],
    "big_ints": lambda: [2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**200)],
    # Texts and bytes
    "bytes": lambda: bytes(range(256)),
    "ten_megabytes": lambda: bytes(10_000_000),
    "text": lambda: "nul \0, e\u0301, \U0001f642\u200d\U0001f680",
    "surrogate": lambda: "a\ud800b",
    "distinct_strings": lambda: [f"distinct-{n}" for n in range(100_000)],
    # Containers
    "tuple": lambda: (1, ("two", ()), [3]),
    "set": lambda: {1, 2, 3},
    "frozenset": lambda: frozenset({"a"}),
    "odd_keys": lambda: {1: "int", (1, 2): "tuple", None: "none", "s": "str", 1.5: "float"},
    "empty": lambda: [[], (), {}, set(), "", b""],
    "cyclic": cyclic,
    "deep": deep,
    # Times
    "aware": lambda: dt.datetime(2024, 2, 29, 12, 30, 45, 123456, tzinfo=ZONE),
    "naive": lambda: dt.datetime(2024, 2, 29, 12, 30, 45, 123456),
    "date": lambda: dt.date(2024, 2, 29),
    "time": lambda: dt.time(12, 30, 45, 123456),
    # Arrays
    "numpy_scalars": lambda: [_numpy().float32(1.5), _numpy().int64(-7), _numpy().bool_(True)],
    "numpy": lambda: _numpy().arange(6, dtype="float32").reshape(2, 3),
    "numpy_0d": lambda: _numpy().array(2.5),
    "numpy_strided": lambda: _numpy().arange(12, dtype="int64").reshape(3, 4)[::2, ::-1],
    "bfloat16": lambda: _torch().tensor([1.0, -2.5, 3.25], dtype=_torch().bfloat16),
    # Objects
    "object": Thing,
    "ten_megabytes_and_an_object": lambda: [bytes(10_000_000), Thing()],
    "objects": lambda: [Thing("a"), {"nested": (Thing("b"),)}],
    "enum": lambda: Colour.RED,
    "exception": exception,
    "dead": EngineDeadError,
    # What cannot be sent
    "function": lambda: make,
    "class": lambda: Thing,
    "generator": lambda: (n for n in range(3)),
}
