"""Enums are checked by name; structs, dataclasses and typed dicts by their fields."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument
from python_worker.validation.annotations import checker
from tests.python.support.annotated import Adapter, Kind, Params, refusal

REFUSED = [
    (Kind, 1),
    (Kind, "SOMETIMES"),
    (Params, 5),
    (Params, Record("Adapter", {})),
    (Adapter, {"name": "a"}),
]


@pytest.mark.parametrize(("annotation", "value"), REFUSED, ids=lambda x: repr(x)[:40])
def test_a_wrong_value_is_an_error(annotation: Any, value: object) -> None:
    message = str(refusal(annotation, value))
    assert message.startswith("it: ")
    assert "wants" in message or "needs" in message


def test_enums_come_by_name_in_any_case() -> None:
    assert checker(Kind)("delta", "it") is Kind.DELTA
    assert checker(Kind)("CUMULATIVE", "it") is Kind.CUMULATIVE


@pytest.mark.parametrize(
    "made", [lambda f: f, lambda f: Record("Params", f)], ids=["map", "record"]
)
def test_a_map_or_record_becomes_the_class(made: Any) -> None:
    params = checker(Params)(made({"n": 2, "stop": "x", "kind": "delta", "bias": {1: 2}}), "p")
    assert params == Params(n=2, stop="x", kind=Kind.DELTA, bias={1: 2.0})


def test_an_empty_list_is_an_empty_map_where_a_class_is_wanted() -> None:
    assert checker(Params)([], "it") == Params()


def test_an_object_of_the_class_passes_as_it_is() -> None:
    params = Params()
    assert checker(Params | None)(params, "it") is params


def test_an_unknown_field_is_named() -> None:
    assert "Params has no field 'nn'" in str(refusal(Params, {"nn": 1}))


def test_a_private_field_is_not_settable() -> None:
    assert "no field '_secret'" in str(refusal(Params, {"_secret": 1}))


def test_the_classes_own_validation_decides_about_ranges() -> None:
    error = refusal(Params, {"n": 0})
    assert str(error) == "it.n: n must be at least 1, got 0"
    assert error.details == {"parameter": "it.n", "value": 0}


@pytest.mark.parametrize(
    "annotation", [Params | None, Params | list[Params], list[Params] | Params]
)
def test_what_a_class_refuses_is_named_through_a_union_too(annotation: Any) -> None:
    for given in ({"n": 0}, Record("Params", {"n": 0, "stop": "x"})):
        assert refusal(annotation, given).details["parameter"] == "it.n"


def test_a_missing_required_field_is_named() -> None:
    error = refusal(Adapter, {"name": "a"})
    assert str(error) == "it: Adapter needs path"
    assert error.details["parameter"] == "it.path"


@dataclasses.dataclass
class Fresh:
    """As vLLM's SamplingParams, which are copied for each request unless they say otherwise."""

    n: int = 1
    skip_clone: bool = False


Fresh.__module__, Fresh.__qualname__ = "vllm.sampling_params", "SamplingParams"


@dataclasses.dataclass
class Older:
    """As those of a vLLM that always copies them."""

    n: int = 1


Older.__module__, Older.__qualname__ = Fresh.__module__, Fresh.__qualname__


@pytest.mark.parametrize("given", [{}, {"n": 2}, {"skip_clone": False}, Record("Fresh", {"n": 2})])
def test_parameters_made_from_a_map_or_record_are_not_copied_by_vllm(given: Any) -> None:
    made = checker(Fresh)(given, "params")
    assert made.skip_clone
    assert made.n == (2 if given and given != {"skip_clone": False} else 1)


def test_parameters_that_exist_are_left_alone() -> None:
    held = Fresh(n=3)
    assert checker(Fresh)(held, "params") is held
    assert not held.skip_clone


def test_a_class_without_the_fixed_field_is_made_without_it() -> None:
    assert checker(Older)({"n": 2}, "params") == Older(n=2)


def test_another_class_gets_no_fixed_field() -> None:
    assert checker(Params)({"n": 2}, "params").n == 2
    assert not checker(type("SamplingParams", (Fresh,), {}))({}, "params").skip_clone


def test_a_fixed_field_of_the_wrong_type_is_an_error() -> None:
    with pytest.raises(InvalidArgument, match="skip_clone"):
        checker(Fresh)({"skip_clone": 1}, "params")


@dataclasses.dataclass
class Judging:
    """Raises what it is given."""

    error: str = ""

    def __post_init__(self) -> None:
        if self.error:
            raise ERRORS[self.error]


ERRORS: dict[str, Exception] = {
    it.__class__.__name__: it
    for it in (
        *(ValueError("no"), TypeError("no"), AssertionError("no"), OverflowError("no")),
        *(KeyError("no"), RuntimeError("no"), OSError("no"), ZeroDivisionError("no")),
    )
}
REFUSALS = {"ValueError", "TypeError", "AssertionError", "OverflowError"}


@pytest.mark.parametrize("name", ERRORS)
def test_what_a_class_says_by_raising(name: str) -> None:
    """An overflow or a failed assertion of a class is the caller's; any other error is its own."""
    if name in REFUSALS:
        error = refusal(Judging, {"error": name})
        assert str(error) == "it.error: no"
        assert error.details == {"parameter": "it.error", "value": name}
        assert error.__cause__ is ERRORS[name]
        return
    with pytest.raises(type(ERRORS[name])) as caught:
        checker(Judging)({"error": name}, "it")
    assert caught.value is ERRORS[name]
