"""What is larger than anybody needs is refused, with its limit."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.codec.depth import STEP
from python_worker.codec.types import Record
from python_worker.exceptions import LimitExceeded
from python_worker.validation import sizes
from python_worker.validation.sizes import (
    MAX_BAD_WORD_CHARS,
    MAX_CHOICES,
    MAX_CONSTRAINT_CHARS,
    MAX_PLAIN_VALUES,
    MAX_REGEX_CHARS,
    MAX_STOP_TEXTS,
    SIZES,
    types_of,
)

#: The largest value that passes, and the smallest that does not, by the name of the parameter.
EDGES: dict[str, tuple[Any, Any, int]] = {
    "SamplingParams.bad_words": (
        ["x" * MAX_BAD_WORD_CHARS] * 3,
        ["x", "x" * (MAX_BAD_WORD_CHARS + 1)],
        MAX_BAD_WORD_CHARS,
    ),
    "SamplingParams.stop": (
        ["x"] * MAX_STOP_TEXTS,
        ["x"] * (MAX_STOP_TEXTS + 1),
        MAX_STOP_TEXTS,
    ),
    "SamplingParams.extra_args": (
        {"x": [0] * (MAX_PLAIN_VALUES - 1)},
        {"x": [0] * MAX_PLAIN_VALUES},
        MAX_PLAIN_VALUES,
    ),
    "trace_headers": (
        {str(n): "" for n in range(10)},
        {"a": [[1] * (MAX_PLAIN_VALUES // 2)] * 3},
        MAX_PLAIN_VALUES,
    ),
    "collective_rpc.args": (
        [Record("X", {"a": [{}] * 10})],
        [Record("X", {"a": [{}] * MAX_PLAIN_VALUES})],
        MAX_PLAIN_VALUES,
    ),
    "StructuredOutputsParams.json": (
        "x" * MAX_CONSTRAINT_CHARS,
        "x" * (MAX_CONSTRAINT_CHARS + 1),
        MAX_CONSTRAINT_CHARS,
    ),
    "StructuredOutputsParams.regex": (
        "x" * MAX_REGEX_CHARS,
        "x" * (MAX_REGEX_CHARS + 1),
        MAX_REGEX_CHARS,
    ),
    "StructuredOutputsParams.grammar": (
        "x" * MAX_CONSTRAINT_CHARS,
        "x" * (MAX_CONSTRAINT_CHARS + 1),
        MAX_CONSTRAINT_CHARS,
    ),
    "StructuredOutputsParams.choice": (
        ["x"] * MAX_CHOICES,
        ["x"] * (MAX_CHOICES + 1),
        MAX_CHOICES,
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_the_limit_is_the_last_that_passes(name: str) -> None:
    fits, too_large, limit = EDGES[name]
    assert SIZES[name](fits, "here") is fits
    with pytest.raises(LimitExceeded, match=f"^here.*the limit is {limit}$") as caught:
        SIZES[name](too_large, "here")
    assert caught.value.details["limit"] == limit


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", [None, 1, True, {}, [], "", [1], {"x": object()}])
def test_values_of_other_types_are_left_to_other_checks(name: str, value: Any) -> None:
    assert SIZES[name](value, "here") is value


def test_a_schema_as_a_map_is_measured_as_text() -> None:
    schema = {"enum": ["x" * 1000] * (MAX_CONSTRAINT_CHARS // 1000)}
    with pytest.raises(LimitExceeded, match="characters"):
        sizes.constraint(schema, "json")


def test_the_types_of_many_values_are_found_in_every_piece() -> None:
    values = [1] * (2 * STEP)
    assert types_of(values) == {int}
    assert types_of([*values, "x", *values, None]) == {int, str, type(None)}
    assert types_of(set(range(2 * STEP))) == {int}
