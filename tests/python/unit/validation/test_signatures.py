"""The arguments of a call are bound to the parameters of a method, and checked."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.validation.signatures import signature_of
from tests.python.support.annotated import Engine, Params

GENERATE = signature_of(Engine().generate, strict=True)


def test_bind_returns_the_arguments_to_call_with() -> None:
    args, kwargs = GENERATE.bind(["hi", {"n": 1}], {"request_id": "r", "priority": 3})
    assert args == ("hi", Params(n=1), "r")
    assert kwargs == {"priority": 3}


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        (["hi", {}, "r"], {"priorty": 1}, "priorty"),
        (["hi", {}], {}, "request_id"),
        (["hi", {}, "r", 1], {}, "too many positional"),
        (["hi", {}, "r"], {"prompt": "again"}, "prompt"),
        (["hi", {}, 5], {}, "request_id: wants str, got int 5"),
        (["hi", {}, "r"], {"priority": "1"}, "priority: wants int"),
        (["hi", {"seed": 1.5}, "r"], {}, "params.seed: wants int | None, got float 1.5"),
    ],
)
def test_a_call_that_does_not_fit_is_an_error(
    args: list[Any], kwargs: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        GENERATE.bind(args, kwargs)
    assert named in str(caught.value)


def test_a_method_that_takes_anything_takes_any_arguments() -> None:
    args, kwargs = signature_of(Engine().anything, strict=True).bind([1, "a"], {"b": None})
    assert (args, kwargs) == ((1, "a"), {"b": None})


def test_annotations_are_not_enforced_unless_strict() -> None:
    args, _ = signature_of(Engine().abort, strict=False).bind([5], {})
    assert args == (5,)


def test_a_method_without_a_signature_takes_any_arguments() -> None:
    args, _ = signature_of({}.update, strict=True).bind([{"a": 1}], {})
    assert args == ({"a": 1},)
