"""Which answers are encoded in a thread, and which are too large to be sent."""

from __future__ import annotations

import array
from collections import UserDict, UserList
from typing import Any

import pytest
import torch

from python_worker.codec.bulk import (
    BULKY_BYTES,
    BULKY_VALUES,
    check_values,
    count,
    is_bulky,
    owned,
)
from python_worker.codec.large_values import MAX_VALUES
from python_worker.exceptions import Unsupported


@pytest.mark.parametrize(
    ("value", "bulky"),
    [
        (None, False),
        (7, False),
        ("text", False),
        ([0] * (BULKY_VALUES - 1), False),
        ([0] * BULKY_VALUES, True),
        ({"ids": [0] * BULKY_VALUES}, True),
        ([[0] * 64] * 64, True),
        ([[[0] * 20] * 20] * 20, True),
        (UserDict(ids=[0] * BULKY_VALUES), True),
        (("x" * (BULKY_BYTES - 1),), False),
        (("x" * BULKY_BYTES,), True),
        (bytes(BULKY_BYTES), True),
        (torch.zeros(BULKY_BYTES // 8), False),
        ([torch.zeros(BULKY_BYTES)], True),
        (range(BULKY_VALUES - 1), False),
        (range(BULKY_VALUES), True),
        ([range(10**30)], True),
        (UserList([0] * BULKY_VALUES), True),
        (array.array("b", bytes(BULKY_VALUES)), False),
        (object(), False),
    ],
)
def test_what_takes_long_to_encode_is_bulky(value: Any, bulky: bool) -> None:
    assert is_bulky(value) == bulky


def test_no_more_is_looked_at_than_was_asked_for() -> None:
    class Endless(list[Any]):
        def __iter__(self) -> Any:
            raise AssertionError("not to be looked at")

    assert count(Endless([0] * 100), 100) == 100


def test_an_answer_with_too_many_values_is_refused() -> None:
    check_values([0] * MAX_VALUES)
    for value in ([[0] * MAX_VALUES, 0], range(MAX_VALUES + 1), [range(10**30)]):
        with pytest.raises(Unsupported, match=f"more than {MAX_VALUES} values"):
            check_values(value)


def test_parts_are_owned_when_they_are_copied() -> None:
    memory = bytearray(b"abc")
    parts = owned([b"x", memoryview(memory)])
    memory[0] = 0
    assert parts == [b"x", b"abc"]
