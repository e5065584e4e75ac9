"""Parameter names of earlier vLLM versions are translated to those of the installed one."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument
from python_worker.validation.renamed_parameters import GivenArguments, translate

GENERATE = ["prompt", "sampling_params", "request_id"]


def translated(
    method: str, args: list[Any], kwargs: dict[str, Any], names: list[str] = GENERATE
) -> tuple[list[Any], dict[str, Any]]:
    arguments = GivenArguments(names, args, kwargs)
    translate(method, arguments)
    return arguments.args, arguments.kwargs


def test_current_names_are_left_alone() -> None:
    params = Record("SamplingParams", {"max_tokens": 3})
    args, kwargs = translated("generate", ["hi", params, "r"], {"priority": 1})
    assert args[1] is params
    assert kwargs == {"priority": 1}


@pytest.mark.parametrize(("wait", "mode"), [(True, "wait"), (False, "abort")])
def test_wait_for_inflight_requests_is_a_mode(wait: bool, mode: str) -> None:
    given = {"wait_for_inflight_requests": wait, "clear_cache": False}
    _, kwargs = translated("pause_generation", [], given, [])
    assert kwargs == {"mode": mode, "clear_cache": False}


@pytest.mark.parametrize("by_position", [True, False])
def test_sampling_params_of_a_map_and_of_a_record(by_position: bool) -> None:
    fields = {
        "max_tokens": 3,
        "truncate_prompt_tokens": 5,
        "guided_decoding": {"regex": "a", "backend": "outlines"},
    }
    wanted = {"max_tokens": 3, "structured_outputs": {"regex": "a"}}
    for given in (fields, Record("SamplingParams", fields)):
        args, kwargs = (["hi", given, "r"], {}) if by_position else ([], {"sampling_params": given})
        args, kwargs = translated("generate", args, kwargs)
        made = args[1] if by_position else kwargs.pop("sampling_params")
        assert (made.fields if isinstance(made, Record) else made) == wanted
        assert kwargs == {"tokenization_kwargs": {"truncate_prompt_tokens": 5}}
    assert fields["truncate_prompt_tokens"] == 5  # what came is not changed


def test_tokenization_kwargs_may_be_by_position() -> None:
    names = [
        "request_id",
        "prompt",
        "params",
        "arrival_time",
        "lora_request",
        "tokenization_kwargs",
    ]
    params = {"truncate_prompt_tokens": 5}
    args, _ = translated(
        "add_request", ["r", "hi", params, None, None, {"add_special_tokens": False}], {}, names
    )
    assert args[5] == {"add_special_tokens": False, "truncate_prompt_tokens": 5}


@pytest.mark.parametrize(
    ("method", "kwargs"),
    [
        ("pause_generation", {"wait_for_inflight_requests": True, "mode": "wait"}),
        ("pause_generation", {"wait_for_inflight_requests": 1}),
        (
            "encode",
            {
                "truncate_prompt_tokens": 1,
                "tokenization_kwargs": {"truncate_prompt_tokens": 1},
            },
        ),
        (
            "generate",
            {"sampling_params": {"guided_decoding": {}, "structured_outputs": {"regex": "a"}}},
        ),
    ],
    ids=str,
)
def test_a_call_that_cannot_be_translated_is_an_error(method: str, kwargs: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        translated(method, [], kwargs)


def test_a_dropped_parameter_is_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    _, kwargs = translated("new", [], {"use_cached_outputs": True, "log_stats": True})
    assert kwargs == {"log_stats": True}
    assert "use_cached_outputs is ignored" in caplog.text
