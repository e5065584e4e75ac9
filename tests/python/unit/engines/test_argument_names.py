"""Errors of configurations name the engine argument, where the caller gave it."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker import failures
from python_worker.engines.argument_names import naming_arguments
from python_worker.exceptions import InvalidArgument


class Refused(ValueError):
    """As pydantic's ``ValidationError``: several problems, each with a place."""

    def __init__(self, *problems: tuple[tuple[Any, ...], str]) -> None:
        super().__init__("validation errors for SchedulerConfig, whose fields are max_model_len …")
        self._problems = problems

    def errors(self) -> list[dict[str, Any]]:
        return [{"loc": place, "msg": words} for place, words in self._problems]


def details(given: dict[str, Any], error: Exception) -> Any:
    with pytest.raises(type(error)), naming_arguments(given):
        raise error
    return failures.details_of(error)


@pytest.mark.parametrize(
    ("given", "error", "named"),
    [
        (
            {"max_num_seqs": -1},
            # The first is a field that the caller did not give.
            Refused((("max_num_batched_tokens",), "too small"), (("max_num_seqs",), "too small")),
            {"parameter": "max_num_seqs", "value": -1},
        ),
        (
            {"model": "m", "attention_config": {"backend": "x"}},
            Refused((("backend",), "unknown")),
            {"parameter": "attention_config.backend", "value": "x"},
        ),
        (
            {"compilation_config": {"mode": 99}},
            Refused((("compilation_config", "mode"), "unknown")),
            {"parameter": "compilation_config.mode", "value": 99},
        ),
        (
            {"model": "m", "max_model_len": 10**6},
            Refused(((), "User-specified max_model_len (1000000) is greater")),
            {"parameter": "max_model_len", "value": 10**6},
        ),
        ({"model": "m"}, ValueError("no such thing"), {}),
        ({"dtype": "x"}, ValueError("Unknown dtype: x"), {"parameter": "dtype", "value": "x"}),
        ({"dtype": "x"}, RuntimeError("dtype"), {}),
        ({"dtype": "x"}, InvalidArgument("dtype", parameter="here"), {"parameter": "here"}),
    ],
)
def test_the_argument_is_named(given: dict[str, Any], error: Exception, named: object) -> None:
    assert details(given, error) == named
