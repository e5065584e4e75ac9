"""Plain values are checked strictly."""

from __future__ import annotations

import math
from typing import Any

import pytest

from python_worker.codec.types import Record
from python_worker.validation.annotations import checker
from tests.python.support.annotated import refusal

ACCEPTED = [
    (bool, True),
    (int, -(2**63)),
    (int, 2**64 - 1),
    (float, 0.5),
    (float, math.inf),
    (str, ""),
    (bytes, b"\x00"),
    (Any, {"x": [1]}),
]


@pytest.mark.parametrize(("annotation", "value"), ACCEPTED, ids=lambda x: repr(x)[:40])
def test_a_fitting_value_passes_unchanged(annotation: Any, value: object) -> None:
    passed = checker(annotation)(value, "it")
    assert passed == value
    assert type(passed) is type(value)


REFUSED = [
    (int, True),
    (int, 2**64),
    (int, -(2**63) - 1),
    (int, 1.0),
    (int, "1"),
    (int, None),
    (bool, 1),
    (bool, "true"),
    (float, "1.0"),
    (float, True),
    (float, math.nan),
    (float, 10**400),
    (str, b"x"),
    (str, 5),
    (bytes, "x"),
    (None, 0),
]


@pytest.mark.parametrize(("annotation", "value"), REFUSED, ids=lambda x: repr(x)[:40])
def test_a_wrong_value_is_an_error_that_says_what_is_wanted(annotation: Any, value: object) -> None:
    message = str(refusal(annotation, value))
    assert message.startswith("it: wants ") or "]: wants " in message or " key " in message


def test_an_integer_becomes_a_float_only_where_no_integer_is_wanted() -> None:
    assert type(checker(float)(1, "it")) is float
    assert type(checker(int | float)(1, "it")) is int


def test_a_record_where_anything_goes_becomes_a_map() -> None:
    value = {"a": [Record("Params", {"n": 1})]}
    assert checker(Any)(value, "it") == {"a": [{"n": 1}]}
