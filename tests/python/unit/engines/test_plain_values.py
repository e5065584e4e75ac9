"""Objects become maps of their public fields, and what is no data becomes text."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import msgspec
import pytest

from python_worker.engines.plain_values import MAX_DEPTH, changed, differ, plain, public_fields


class Mode(enum.Enum):
    FAST = 1


@dataclasses.dataclass
class Inner:
    size: int = 1
    _private: int = 2
    made: int = dataclasses.field(default=3, init=False)


class Outer(msgspec.Struct):
    inner: Inner | None = None
    names: list[str] | None = None
    _secret: int = 0


class Array:
    def __array__(self) -> None: ...

    def __ne__(self, other: object) -> Any:
        raise ValueError("the truth of an array")


@dataclasses.dataclass
class Needs:
    size: int


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Inner(), {"size": 1}),
        (Outer(Inner(5), ["a"]), {"inner": {"size": 5}, "names": ["a"]}),
        ([(1, Mode.FAST)], [[1, Mode.FAST]]),
        ({"a": {Inner}}, {"a": [repr(Inner)]}),
        (None, None),
    ],
)
def test_a_value_becomes_plain(value: object, data: object) -> None:
    assert plain(value) == data


def test_arrays_stay() -> None:
    array = Array()
    assert plain([array])[0] is array


def test_only_what_was_changed_may_be_wanted() -> None:
    assert plain(Outer(Inner(5)), changes=True) == {"inner": {"size": 5}}
    # Without a default everything matters.
    assert plain(Needs(1), changes=True) == {"size": 1}


def test_a_value_that_contains_itself_ends() -> None:
    value: list[Any] = []
    value.append(value)
    text = plain(value)
    for _ in range(MAX_DEPTH):
        (text,) = text
    assert isinstance(text, str)


def test_an_array_differs_from_all_else() -> None:
    assert differ(Array(), None)
    assert not differ(1, 1)
    assert public_fields(5) is None
    assert changed({"size": Array()}, Inner())
