"""The fields that a class refuses are found by leaving fields out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from python_worker.validation.refused_fields import refused_fields

DEFAULTS = {"a": 1, "b": 1, "c": 1, "d": 1, "task": "embed"}


class Refusal(Exception):
    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


def build(given: Mapping[str, Any]) -> None:
    """As vLLM's classes: one rule after the other, some of two fields."""
    it = {**DEFAULTS, **given}
    if it["a"] < 0:
        raise Refusal("this is too small")
    if it["b"] > 1 and it["c"] > 1:
        raise Refusal("with c, b must be 1")
    if it["d"] < 0:
        raise Refusal("d and a are wrong", parameter="d")
    if it["task"] == "none":
        raise Refusal("no such task")
    if it["a"] == it["b"] == it["c"] == 0:
        raise Refusal("not all may be zero")
    if it["task"] == "classify" and it["a"] == 7:
        raise Refusal("it does not take 7")
    if not given:
        raise Refusal("something is needed")


def refused(given: dict[str, Any], **options: Any) -> list[str]:
    with pytest.raises(Refusal) as caught:
        build(given)
    return refused_fields(given, caught.value, build, **options)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"a": -1}, ["a"]),
        ({"a": -1, "b": 2, "c": 2, "d": -1}, ["a"]),
        # The one that is named first comes first.
        ({"b": 2, "c": 2, "d": 5}, ["c", "b"]),
        ({"d": -1, "a": 3}, ["d"]),
        ({"a": 0, "b": 0, "c": 0, "d": 2}, ["a", "b", "c"]),
        ({}, []),
    ],
)
def test_the_fewest_are_named(given: dict[str, Any], fields: list[str]) -> None:
    assert sorted(refused(given)) == sorted(fields)
    assert refused(given)[:1] == fields[:1]


def test_what_is_kept_is_there_and_blamed_only_by_name() -> None:
    assert refused({"task": "classify", "a": 7, "b": 1}, kept=["task"]) == ["a"]
    assert refused({"task": "none", "a": 2}, kept=["task"]) == ["task"]


def test_a_class_written_in_c_is_told_apart_by_its_words() -> None:
    def build_in_c(given: Mapping[str, Any]) -> object:
        return [int(value) for value in given.values()]

    given = {"a": "1", "b": "x", "c": "y"}
    with pytest.raises(ValueError, match="'x'") as caught:
        build_in_c(given)
    assert refused_fields(given, caught.value, build_in_c) == ["b"]
