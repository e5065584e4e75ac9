"""The request of a chat without vLLM: what is taken, what is refused, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.chat.requests import WITHOUT_EFFECT
from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.testing.fake_engine.chat_requests import chat_request, for_choices
from python_worker.testing.fake_vllm.types import StructuredOutputsParams

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def request(**fields: Any) -> Any:
    return chat_request({"messages": HELLO, **fields})


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_a_field_without_effect_is_refused_as_for_vllm(name: str) -> None:
    with pytest.raises(Unsupported, match=f"^{name}: "):
        request(**{name: True})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temprature": 1}, r"temprature: .*did you mean 'temperature'"),
        ({"temperature": "warm"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": []}, "messages: .*at least one"),
        ({"messages": [{"content": "a"}]}, r"messages\.0\.role"),
        ({"messages": [*HELLO, {"role": "user"}]}, r"messages\.1\.content"),
        ({"messages": [{"role": "user", "content": [1]}]}, r"messages\.0\.content"),
        ({"tools": []}, "tools: must not be empty"),
        ({"tools": [{"function": {"nam": "f"}}]}, "tools"),
        ({"tool_choice": "auto"}, "tool_choice: .*`tools` must be set"),
        ({"tools": [TOOL], "tool_choice": "never"}, "tool_choice: there is no 'never'"),
        ({"tools": [TOOL], "tool_choice": {"function": {"name": "g"}}}, "tool_choice: does not"),
        ({"tools": [TOOL], "tool_choice": {"function": "f"}}, "tool_choice: does not"),
        ({"top_logprobs": 2}, "top_logprobs: .*`logprobs` must be true"),
        ({"logprobs": True, "top_logprobs": -2}, "top_logprobs: must be"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format: a json_schema is missing"),
        ({"continue_final_message": True}, "continue_final_message: cannot go with"),
        ({"structured_outputs": {"jsn": {}}}, "structured_outputs"),
    ],
)
def test_what_is_wrong_is_refused_by_its_path(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{message}"):
        request(**fields)


def test_messages_are_needed() -> None:
    with pytest.raises(InvalidArgument, match="messages: Field required"):
        chat_request({})


def test_tools_may_be_called_unless_the_client_says_otherwise() -> None:
    assert request(tools=[TOOL]).tool_choice == "auto"
    assert request(tools=[TOOL]).offers_tools
    assert not request(tools=[TOOL], tool_choice="none").offers_tools
    assert not request().offers_tools
    assert request(tools=[TOOL], tool_choice={"function": {"name": "f"}}).offers_tools


def test_what_vllm_takes_is_taken() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]
    messages = [
        {"role": "system", "content": "b", "name": "c"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "d", "content": {"any": "value"}},
    ]
    made = request(
        messages=messages,
        temperature=1,
        logit_bias={5: -1.0},
        structured_outputs={"choice": ["a"]},
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
    )
    assert made.messages[-1]["content"] == '{"any": "value"}'
    assert made.logit_bias == {"5": -1.0}
    assert made.structured_outputs == StructuredOutputsParams(choice=["a"])
    assert for_choices(made).response_format.type == "json_schema"
    assert for_choices(request()).response_format is None
