"""The text of an error says where, what is wanted and what came."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from python_worker.validation.messages import describe
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
