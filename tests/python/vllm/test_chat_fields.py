"""The fake engine's request of a chat has the fields of vLLM's, with their defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from vllm.exceptions import VLLMClientError

from python_worker.chat import vllm_parts
from python_worker.chat.requests import WITHOUT_EFFECT, chat_request
from python_worker.exceptions import BridgeError, Kind
from python_worker.failures import kind_of
from python_worker.testing.fake_engine import chat_requests

#: What vLLM fills with an empty list, and the fake engine leaves unset.
EMPTY = {"stop", "stop_token_ids"}


def test_the_fields_are_those_of_vllm() -> None:
    fields = vllm_parts.request_class().model_fields
    own = {it.name: it for it in dataclasses.fields(chat_requests.ChatRequest)}
    assert own.keys() == fields.keys() - WITHOUT_EFFECT.keys()
    same = own.keys() - EMPTY - {"messages", "request_id", "bad_words"}
    assert {name: own[name].default for name in same} == {
        name: fields[name].default for name in same
    }


def refusal(make: Callable[[dict[str, Any]], object], fields: dict[str, Any]) -> Kind:
    """The kind of error that a client gets."""
    with pytest.raises((BridgeError, VLLMClientError)) as error:
        make(fields)
    return kind_of(error.value)


TOOL = {"type": "function", "function": {"name": "f"}}
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    "fields",
    [
        {"temprature": 1},
        {"temperature": "warm"},
        {"max_tokens": 1.5},
        {"messages": "Hello"},
        {"messages": [{"content": "a"}]},
        {"tools": []},
        {"tools": [{"function": {"nam": "f"}}]},
        {"tool_choice": "auto"},
        {"tools": [TOOL], "tool_choice": "never"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        {"top_logprobs": 2},
        {"logprobs": True, "top_logprobs": -2},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema"}},
        {"continue_final_message": True},
        {"stream": True},
    ],
    ids=str,
)
def test_what_the_fake_engine_refuses_vllm_refuses(fields: dict[str, Any]) -> None:
    # vLLM fills the default of `add_generation_prompt` in after its check, so it has to be given.
    given = {"messages": HELLO, **fields}
    if "continue_final_message" in fields:
        given["add_generation_prompt"] = True
    assert refusal(chat_requests.chat_request, given) == refusal(chat_request, given)
