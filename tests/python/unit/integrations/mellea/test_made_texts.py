"""Thunks, and what is told of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from python_worker.integrations.mellea import library
from tests.python.support.mellea import Completion, Output

library.load("made_texts")

from python_worker.integrations.mellea.made_texts import (  # noqa: E402
    computed,
    note_output,
    told_to_hooks,
    unmade,
)


def output(*token_ids: int, finish_reason: str | None = None, index: int = 0) -> Output:
    return Output([Completion("x", list(token_ids), finish_reason, index)])


def test_the_usage_of_a_text_grows_with_its_outputs() -> None:
    thunk = unmade("action", {})
    note_output(thunk, output(1, 2))
    assert thunk.generation.usage == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
    }
    last = output(3, finish_reason="stop")
    last.prompt_token_ids = []
    note_output(thunk, last)
    assert thunk.generation.usage["prompt_tokens"] == 3
    assert thunk.generation.usage["completion_tokens"] == 3
    assert thunk.generation.finish_reasons == ["stop"]


def test_another_completion_than_the_first_counts_for_nothing() -> None:
    thunk = unmade("action", {})
    note_output(thunk, output(1, finish_reason="length", index=1))
    assert thunk.generation.usage is None


def test_a_hook_is_told_the_value_the_calls_and_the_usage() -> None:
    call = SimpleNamespace(name="f", args={"a": 1})
    thunk: Any = computed("text")
    assert told_to_hooks(thunk)["tool_calls"] is None
    thunk.tool_calls = [call]
    note_output(thunk, output(1, finish_reason="stop"))
    told = told_to_hooks(thunk)
    assert told["value"] == "text"
    assert told["tool_calls"] == [{"name": "f", "args": {"a": 1}}]
    assert told["usage"]["completion_tokens"] == 1
    assert told["finish_reasons"] == ["stop"]


def test_a_text_is_computed_or_not() -> None:
    assert computed("text").is_computed()
    assert computed("text").value == "text"
    thunk: Any = unmade("action", {"seed": 1})
    assert not thunk.is_computed()
    assert (thunk._call.action, thunk._call.model_options) == ("action", {"seed": 1})
