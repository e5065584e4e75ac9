"""Helpers of the codec's tests: comparison of values, and the conformance vectors."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from python_worker import codec
from python_worker.codec import types
from tests.vectors import make

VECTORS = Path(make.__file__).parent


def round_trip(value: object) -> Any:
    """Returns the value, encoded and decoded."""
    return codec.decode(codec.encode(value))


def same(left: Any, right: Any) -> bool:
    """Equality that tells types apart, and by which NaN equals itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack(">d", left) == struct.pack(">d", right)
    if isinstance(left, torch.Tensor):
        return (
            left.dtype == right.dtype
            and left.shape == right.shape
            and codec.encode(left) == codec.encode(right)
        )
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, types.Record):
        return left.name == right.name and same(left.fields, right.fields)
    return bool(left == right)


def vectors(name: str) -> list[Any]:
    """Returns the vectors of a file as parameters of a test."""
    return [
        pytest.param(entry, id=entry["name"]) for entry in json.loads((VECTORS / name).read_text())
    ]


def deep(depth: int, wrap: Callable[[object], object]) -> object:
    """Returns a value inside so many containers."""
    value: object = 1
    for _ in range(depth):
        value = wrap(value)
    return value
