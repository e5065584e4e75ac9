"""What a call of a method says of the outputs that it asks for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from python_worker.dispatch.call import Call
from python_worker.dispatch.invocation import Invocation
from python_worker.dispatch.served_classes import OTHER


def invocation(*args: Any, **kwargs: Any) -> Invocation:
    def member(*given: Any, **named: Any) -> tuple[Any, Any]:
        return given, named

    call = cast(Call, object())
    return Invocation(call, "generate", object(), OTHER, member, args, kwargs or None)


def params(kind: str | None = None, **fields: Any) -> Any:
    return SimpleNamespace(output_kind=kind and SimpleNamespace(name=kind), **fields)


def test_the_member_is_called_with_the_arguments() -> None:
    assert invocation(1, "a", b=None).invoke() == ((1, "a"), {"b": None})
    assert invocation().invoke() == ((), {})


@pytest.mark.parametrize(
    ("kind", "n", "cumulative", "whole"),
    [
        ("CUMULATIVE", 1, True, True),
        ("CUMULATIVE", None, True, True),
        ("CUMULATIVE", 2, True, False),
        ("DELTA", 1, False, False),
        ("DELTA", 2, False, False),
        ("FINAL_ONLY", 1, False, True),
        ("FINAL_ONLY", 2, False, True),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_the_parameters_say_what_items_hold(
    kind: str, n: int | None, cumulative: bool, whole: bool, named: bool
) -> None:
    given = params(kind, n=n)
    # Parameters without a kind of output are those of something else.
    it = (
        invocation("a", params(), sampling_params=given)
        if named
        else invocation("a", params(), given, priority=1)
    )
    assert (it.cumulative, it.single, it.whole) == (cumulative, n in (1, None), whole)


def test_without_parameters_there_is_one_output_and_nothing_is_known_of_it() -> None:
    for it in (invocation(), invocation("a", params()), invocation(request_id="r")):
        assert (it.cumulative, it.single, it.whole) == (False, True, False)
    # Parameters of another kind have no number of completions.
    assert invocation(params("FINAL_ONLY")).single
