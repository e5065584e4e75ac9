"""The fields of what a client sends."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.fields import refuse_rest, take, take_text


def test_a_field_is_taken_out_and_what_is_left_is_refused_by_its_name() -> None:
    fields = {"a": "x", "b": 1}
    assert take(fields, "a", str, "it") == "x"
    with pytest.raises(InvalidArgument, match="it: there is no field 'b'"):
        refuse_rest(fields, "it")
    assert take(fields, "b", int, "it") == 1
    refuse_rest(fields, "it")
    assert take(fields, "b", int, "it", None) is None


@pytest.mark.parametrize(
    ("value", "cls"), [(5, str), (None, str), (True, int), (1, bool), ([], dict)]
)
def test_a_field_of_another_class_is_refused_by_its_path(value: Any, cls: type) -> None:
    with pytest.raises(InvalidArgument) as refused:
        take({"a": value}, "a", cls, "it")
    assert refused.value.details["parameter"] == "it.a"


def test_a_field_that_must_be_there() -> None:
    with pytest.raises(InvalidArgument, match="it: needs a"):
        take({}, "a", str, "it")


def test_variables_are_put_into_a_text_only_where_there_are_any() -> None:
    assert take_text({"a": "{{x}}"}, "a", {"x": 1}, "it") == "1"
    assert take_text({"a": "{{x}}"}, "a", None, "it") == "{{x}}"
    assert take_text({}, "a", None, "it") is None
