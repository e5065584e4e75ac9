"""Unions and containers are checked by their annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pytest

from python_worker.codec.types import Record
from python_worker.validation.annotations import checker
from tests.python.support.annotated import Prompt, refusal

ACCEPTED = [
    (int | None, None),
    (str | list[str] | None, ["a"]),
    (list[int], []),
    (list[list[int]], [[1], []]),
    (set[int], {1}),
    (dict[str, Any], {"a": object}),
    (Mapping[str, str], {"a": "b"}),
    (Literal["abort", "wait"], "wait"),
    (tuple, (1, "a")),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2)),
]


@pytest.mark.parametrize(("annotation", "value"), ACCEPTED, ids=lambda x: repr(x)[:40])
def test_a_fitting_value_passes_unchanged(annotation: Any, value: object) -> None:
    passed = checker(annotation)(value, "it")
    assert passed == value
    assert type(passed) is type(value)


REFUSED = [
    (int | None, 1.5),
    (str | list[str] | None, 5),
    (list[int], [1, "2"]),
    (list[int], [1, True]),
    (list[int], "12"),
    (list[int], {1: 2}),
    (dict[int, float], {1: "x"}),
    (dict[int, float], {"1": 1.0}),
    (dict[int, float], [1]),
    (set[int], 5),
    (Literal["abort", "wait"], "bogus"),
    (Literal[0, 1], True),
    (tuple[int, str], (1,)),
]


@pytest.mark.parametrize(("annotation", "value"), REFUSED, ids=lambda x: repr(x)[:40])
def test_a_wrong_value_is_an_error_that_says_what_is_wanted(annotation: Any, value: object) -> None:
    message = str(refusal(annotation, value))
    assert message.startswith("it: wants ") or "]: wants " in message or " key " in message


def test_the_error_names_the_part_that_is_wrong() -> None:
    error = refusal(dict[str, list[int]], {"a": [1, "x"]})
    assert str(error) == "it['a'][1]: wants int, got str 'x'"
    assert error.details == {
        "parameter": "it['a'][1]",
        "wanted": "int",
        "got": "str 'x'",
        "value": "x",
    }


def test_a_set_or_tuple_is_accepted_where_a_list_is_wanted() -> None:
    assert checker(list[int])((1, 2), "it") == [1, 2]
    assert checker(Iterable[str])({"a"}, "it") == ["a"]


def test_a_text_is_not_an_iterable_of_texts() -> None:
    assert refusal(Iterable[str], "abc")


def test_of_several_typed_dicts_the_one_with_the_field_makes_the_error() -> None:
    assert str(refusal(Prompt, {"prompt": 5})) == "it.prompt: wants str, got int 5"
    error = refusal(Prompt, {"prompt_token_ids": [1, "x"]})
    assert str(error) == "it.prompt_token_ids[1]: wants int, got str 'x'"


def test_of_several_structs_the_one_of_that_name_makes_the_error() -> None:
    assert str(refusal(Prompt, Record("Tokens", {}))) == "it: Tokens needs prompt_token_ids"
