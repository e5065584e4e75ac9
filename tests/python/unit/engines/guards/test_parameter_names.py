"""VLLM's errors about parameters get the parameter's name and value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from python_worker import failures
from python_worker.engines.guards.parameter_names import ParameterNames
from python_worker.exceptions import InvalidArgument


class Params(msgspec.Struct):
    n: int = 1
    ids: list[int] | None = None
    task: str | None = None
    dimensions: int | None = None
    _private: int = 0


def check(params: Any, supported_tasks: object) -> object:
    """As vLLM's: it changes what it checks."""
    if params.ids is not None and params.n != 1:
        raise ValueError("ids requires n=1")
    if params.task == "classify" and params.dimensions:
        raise ValueError("Task 'classify' only supports ['use_activation']")
    if params.n == 7:
        error = ValueError("seven")
        error.parameter = "logprobs"  # type: ignore[attr-defined]
        raise error
    if params.n == 8:
        raise InvalidArgument("eight", parameter="here")
    if params.n == 9:
        raise RuntimeError("nine")
    params.task = params.task or "embed"
    return supported_tasks


def refused(params: object) -> Any:
    with pytest.raises(Exception, match=r".") as caught:
        ParameterNames(check).validate(params, ())
    return failures.details_of(caught.value)


def test_what_passes_is_what_vllm_returns() -> None:
    assert ParameterNames(check).validate(Params(), "tasks") == "tasks"


@pytest.mark.parametrize(
    ("params", "details"),
    [
        (
            Params(ids=[5], n=2),
            {"parameter": "ids", "value": [5], "values": {"ids": [5], "n": 2}},
        ),
        (Params(task="classify", dimensions=3), {"parameter": "dimensions", "value": 3}),
        # What is named stays as it is.
        (Params(n=7), {"parameter": "logprobs"}),
        (Params(n=8), {"parameter": "here"}),
        # Not the caller's mistake.
        (Params(n=9), {}),
    ],
)
def test_the_parameter_is_named(params: Params, details: dict[str, Any]) -> None:
    assert refused(params) == details


def test_other_objects_are_left_to_vllm() -> None:
    class Other:
        n, ids, task, dimensions = 2, [1], None, None

    assert refused(Other()) == {}
