"""Thunks: texts of the model's, those that others have made, and what is told of them."""

from __future__ import annotations

from typing import Any

from mellea.core import ModelOutputThunk

from python_worker.integrations.mellea.outputs import first_of


def note_output(thunk: ModelOutputThunk[Any], output: Any) -> None:
    """Keeps what an output says about its request."""
    completion = first_of(output)
    if completion is None:
        return
    usage = thunk.generation.usage or {"prompt_tokens": 0, "completion_tokens": 0}
    prompt = len(output.prompt_token_ids or ()) or usage["prompt_tokens"]
    made = usage["completion_tokens"] + len(completion.token_ids)
    thunk.generation.usage = {
        "prompt_tokens": prompt,
        "completion_tokens": made,
        "total_tokens": prompt + made,
    }
    if completion.finish_reason is not None:
        thunk.generation.finish_reasons = [completion.finish_reason]


def told_to_hooks(thunk: ModelOutputThunk[Any]) -> dict[str, Any]:
    """What a hook is told of a text."""
    calls = thunk.tool_calls
    return {
        "value": thunk.value,
        "tool_calls": calls and [{"name": call.name, "args": dict(call.args)} for call in calls],
        "usage": thunk.generation.usage,
        "finish_reasons": thunk.generation.finish_reasons,
    }


def unmade(action: Any, options: dict[str, Any]) -> ModelOutputThunk[Any]:
    """A text that no request makes."""
    thunk: ModelOutputThunk[Any] = ModelOutputThunk(None)
    thunk._call.action = action
    thunk._call.model_options = options
    return thunk


def computed(text: str) -> ModelOutputThunk[Any]:
    """A text as an output of the model."""
    thunk: ModelOutputThunk[Any] = ModelOutputThunk(text)
    thunk.parsed_repr = text
    return thunk
