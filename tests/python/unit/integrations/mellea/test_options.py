"""Mellea's own rules for maps of options."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from python_worker.integrations.mellea.options import ModelOption

FROM_TO = {"k1": "M1", "k2": "M2"}

rules = ModelOption()


# Upstream: test_model_options.py::test_model_option_remove (U-71)
async def test_sentinels_are_left_out() -> None:
    options = {"@@@tools@@@": 1, "@@@a": 2, "temperature": 0, "a@@@": 3}
    assert await rules.remove_special_keys(options) == {"temperature": 0, "a@@@": 3}


# Upstream: ::test_model_option_replace_to_common_opts (U-72), _replace_to_backend_specific (U-73)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"k1": 1, "k2": 2, "x": 3}, {"M1": 1, "M2": 2, "x": 3}),
        ({"k1": 1, "M1": None}, {"M1": 1}),
        ({}, {}),
    ],
)
async def test_keys_are_renamed(options: dict[str, Any], expected: dict[str, Any]) -> None:
    assert await rules.replace_keys(options, FROM_TO) == expected


# Upstream: ::test_model_option_replace_with_conflicts (U-74)
async def test_of_two_values_that_of_the_new_name_stays_and_the_other_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "mellea"):
        made = await rules.replace_keys({"k1": "v1", "k2": "v2", "M1": "m1"}, FROM_TO)
    assert made == {"M1": "m1", "M2": "v2"}
    [record] = [it for it in caplog.records if it.name == "mellea"]
    assert "lost value" in record.getMessage()
    assert "v1" in record.getMessage()


async def test_a_name_that_stays_keeps_its_value() -> None:
    given = {"temperature": 0.3}
    assert await rules.replace_keys(given, {"temperature": "temperature"}) == given


# Upstream: ::test_model_option_merge (U-75)
async def test_one_map_over_another() -> None:
    assert await rules.merge({"a": 1, "b": 2}, {"b": 3, "c": 4}) == {"a": 1, "b": 3, "c": 4}
    assert await rules.merge({"a": 1}) == {"a": 1}
