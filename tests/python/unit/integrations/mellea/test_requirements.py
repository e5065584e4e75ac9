"""What a text has to meet, and strategies."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import library
from python_worker.integrations.mellea.questions import Questions

required: Any = library.load("requirements")


def test_a_requirement_has_a_validator_or_a_description() -> None:
    questions = Questions({})
    [one, two] = required.requirements(["kind", {"asked": True}], questions)
    assert (one.description, two.description) == ("kind", None)
    with pytest.raises(InvalidArgument, match="wants a description or a validator"):
        required.requirements([{}], questions)


@pytest.mark.parametrize(
    "odd",
    [
        {"name": "none"},
        {"name": "rejection", "loop_budget": 0},
        {"name": "rejection", "loop_budget": 10**9},
        {"name": "rejection", "concurrency_budget": 10**6},
        {"name": "rejection", "loop_budget": True},
        {"name": 5},
        {},
        {"name": "rejection", "x": 1},
    ],
)
def test_a_strategy_has_a_name_and_budgets_in_their_ranges(odd: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="strategy"):
        required.strategy(odd)


@pytest.mark.parametrize("name", ["rejection", "repair_template", "multi_turn"])
def test_strategies_are_mellea_s(name: str) -> None:
    made = required.strategy({"name": name, "loop_budget": 3, "concurrency_budget": 2})
    assert (made.loop_budget, made.concurrency_budget) == (3, 2)
    assert required.strategy(None) is None


def test_the_requirement_of_an_instruction_that_is_repaired_asks_in_the_same_call() -> None:
    [one] = required.requirements([{"asked": True}], Questions({}))
    assert copy.deepcopy(one) is one
