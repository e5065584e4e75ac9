"""The text of an error says where, what is wanted and what came."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from python_worker.validation.messages import describe, shown
from tests.python.support.annotated import refusal


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(str(refusal(int, "x" * 10_000))) < 150


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "int | None"),
        (str | list[str] | None, "str | list[str] | None"),
        (dict[int, float], "dict[int, float]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Annotated[int, "x"], "int"),
        (Literal["a", 1] | None, "'a' | 1 | None"),
        (Any, "Any"),
    ],
)
def test_annotations_are_described_as_they_are_written(annotation: Any, text: str) -> None:
    assert describe(annotation) == text


@pytest.mark.parametrize("value", [None, True, 5, 1.5, b"x", "x", [1, "a"], {"a": 1}])
def test_a_small_value_is_in_the_details_as_it_is(value: object) -> None:
    assert shown(value) == value


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(100)), [[1]], {"a": [1]}, object()])
def test_any_other_is_there_as_a_short_text(value: object) -> None:
    text = shown(value)
    assert isinstance(text, str)
    assert len(text) < 200
