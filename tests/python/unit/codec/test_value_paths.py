"""The path and the reason of what cannot be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from python_worker import codec, exceptions
from python_worker.codec.depth import MAX_DEPTH
from python_worker.codec.value_paths import check_answer
from tests.python.support.codec_values import deep
from tests.vectors import make


@dataclass
class Plain:
    x: int = 1


def iter_nothing() -> Iterator[None]:
    yield None


async def _coroutine() -> None:
    """Never run."""


def _cyclic_list() -> object:
    value: list[object] = [1]
    value.append({"again": (value,)})
    return value


def _cyclic_record() -> object:
    value = make.stub("PoolingOutput")
    value.__dict__["data"] = [value]
    return value


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"a": [1, len]}, "value['a'][1]", "builtin_function_or_method"),
        ((_coroutine,), "value[0]", "function"),
        ([asyncio], "value[0]", "module"),
        ({1: int}, "value[1]", "type"),
        ([0, 1, iter_nothing()], "value[2]", "generator"),
        (make.stub("RequestOutput", outputs=[object()]), "value.outputs[0]", "object"),
        ({"k": Plain()}, "value['k']", "Plain"),
        ([ValueError("x")], "value[0]", "ValueError"),
        ({Plain: 1}, "value key <type>", "type"),
        (_cyclic_list(), "value[1]['again'][0]", "contains itself"),
        (_cyclic_record(), "value.data[0]", "contains itself"),
    ],
)
def test_the_path_of_what_cannot_be_sent_is_named(value: Any, path: str, message: str) -> None:
    with pytest.raises(exceptions.EncodeError, match="cannot be sent") as caught:
        codec.encode(value)
    assert caught.value.path == path
    assert message in caught.value.message
    assert str(caught.value) == f"{path}: {caught.value.message}"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: {"k": value},
        lambda value: (value,),
        lambda value: [(value,)],
        lambda value: make.stub("PoolingOutput", data=value),
    ],
    ids=["list", "dict", "tuple", "list of tuple", "record"],
)
def test_too_deep_values_are_named(wrap: Callable[[object], object]) -> None:
    assert codec.encode(deep(MAX_DEPTH // 2, wrap))
    with pytest.raises(exceptions.EncodeError, match="nested in more than") as caught:
        codec.encode(deep(2000, wrap))
    assert len(caught.value.path) < 250


class Unread(bytes):
    """Bytes that must not be looked at one by one."""

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("a byte was looked at")


def test_bytes_are_not_looked_at_one_by_one() -> None:
    check_answer([Unread(1000), {"data": Unread(1000)}])
