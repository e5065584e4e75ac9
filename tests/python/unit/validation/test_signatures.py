"""The arguments of a call are bound to the parameters of a method, and checked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_worker.exceptions import InvalidArgument
from python_worker.validation.signatures import signature_of
from tests.python.support.annotated import Engine, Params

GENERATE = signature_of(Engine().generate, strict=True)


class Sleeper:
    """Returns what each of its parameters got."""

    def sleep(
        self,
        level: int = 1,
        mode: str | None = "abort",
        tag: str | None = None,
        *,
        deep: bool = True,
        hints: dict[str, int] | None = None,
    ) -> dict[str, Any]:
        return {"level": level, "mode": mode, "tag": tag, "deep": deep, "hints": hints}

    def required(self, first: int, second: bool, third: str | None = "c") -> dict[str, Any]:
        return {"first": first, "second": second, "third": third}


# Values that are false, and some that are not. By the parameter, in the order of the signature.
VALUES: dict[str, dict[str, list[Any]]] = {
    "sleep": {
        "level": [0, 2],
        "mode": [None, "", "wait"],
        "tag": [None, "", "x"],
        "deep": [False, True],
        "hints": [None, {}, {"a": 0}],
    },
    "required": {"first": [0, 7], "second": [False, True], "third": [None, "", "x"]},
}
BY_POSITION = {"sleep": 3, "required": 3}


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


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ({"tag": "x"}, ((), {"tag": "x"})),
        ({"mode": "wait", "tag": "x"}, ((), {"mode": "wait", "tag": "x"})),
        ({"level": 2, "tag": "x"}, ((2,), {"tag": "x"})),
        ({"level": 2, "mode": "wait"}, ((2, "wait"), {})),
        ({"deep": False}, ((), {"deep": False})),
    ],
)
def test_a_keyword_after_a_default_that_was_left_out_keeps_its_name(
    given: dict[str, Any], called: tuple[tuple[Any, ...], dict[str, Any]]
) -> None:
    assert signature_of(Sleeper().sleep, strict=True).bind([], given) == called


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("method", VALUES)
@given(data=st.data())
def test_a_method_gets_what_python_would_give_it(
    method: str, strict: bool, data: st.DataObject
) -> None:
    names = list(VALUES[method])
    given = {name: data.draw(st.sampled_from(VALUES[method][name])) for name in names}
    positional = data.draw(st.integers(0, BY_POSITION[method]))
    named = data.draw(st.sets(st.sampled_from(names[positional:]))) if names[positional:] else set()
    args = [given[name] for name in names[:positional]]
    kwargs = {name: given[name] for name in data.draw(st.permutations(sorted(named)))}
    bound = getattr(Sleeper(), method)
    try:
        expected = bound(*args, **kwargs)
    except TypeError:
        with pytest.raises(InvalidArgument, match="missing a required argument"):
            signature_of(bound, strict=strict).bind(args, kwargs)
        return
    call_args, call_kwargs = signature_of(bound, strict=strict).bind(args, kwargs)
    assert bound(*call_args, **call_kwargs) == expected
