"""Which options of a map are a request's parameters."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.sampling import (
    FROM_MELLEA,
    TO_MELLEA,
    parameter_names,
    sampling_parameters,
)
from tests.python.support.mellea import Engine

NAMES = parameter_names(Engine())


def test_the_names_of_parameters_are_those_of_the_engine() -> None:
    assert {"temperature", "max_tokens", "seed", "top_k"} <= NAMES


def test_each_map_is_the_other_turned_round() -> None:
    assert {TO_MELLEA[name]: name for name in TO_MELLEA} == FROM_MELLEA
    assert TO_MELLEA["max_tokens"] == "@@@max_new_tokens@@@"
    assert TO_MELLEA["temperature"] == "temperature"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"max_tokens": 9}, {"max_tokens": 9}),
        ({"@@@max_new_tokens@@@": 9, "@@@seed@@@": 7}, {"max_tokens": 9, "seed": 7}),
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_k": 5, "nonsense": True, "max_model_len": 8}, {"top_k": 5}),
        ({"@@@system_prompt@@@": "x", "@@@stream@@@": True}, {}),
        ({"temperature": None, "top_k": None}, {}),
        ({"@@@stop_sequences@@@": ["x"]}, {"stop": ["x"]}),
    ],
)
def test_options_are_renamed_and_those_of_others_are_dropped(
    options: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert sampling_parameters(options, NAMES) == expected


def test_what_another_option_decides_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="output_kind"):
        sampling_parameters({"output_kind": "DELTA"}, NAMES)
