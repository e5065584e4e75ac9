"""From a client's fields to a request, with a small model in place of vLLM's."""

from __future__ import annotations

from typing import Any, ClassVar

import pydantic
import pytest

from python_worker.chat import requests, vllm_parts
from python_worker.exceptions import InvalidArgument, Unsupported


class Function(pydantic.BaseModel):
    model_config: ClassVar = pydantic.ConfigDict(extra="allow")
    name: str
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(pydantic.BaseModel):
    model_config: ClassVar = pydantic.ConfigDict(extra="allow")
    function: Function


class Request(pydantic.BaseModel):
    model_config: ClassVar = pydantic.ConfigDict(extra="allow")
    messages: list[dict[str, Any]]
    temperature: float | None = None
    logit_bias: dict[str, float] | None = None
    tools: list[Tool] | None = None


@pytest.fixture(autouse=True)
def request_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_parts, "request_class", lambda: Request)


HELLO = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize("name", requests.WITHOUT_EFFECT)
def test_a_field_without_effect_is_refused_by_name(name: str) -> None:
    with pytest.raises(Unsupported, match=f"^{name}: ") as error:
        requests.chat_request({"messages": HELLO, name: True})
    assert error.value.details == {"parameter": name}


def test_an_unknown_field_is_refused_and_the_one_that_was_meant_is_named() -> None:
    with pytest.raises(InvalidArgument, match="temprature: there is no such field") as error:
        requests.chat_request({"messages": HELLO, "temprature": 1.0})
    assert "'temperature'" in str(error.value)
    assert error.value.details == {"parameter": "temprature"}


def test_an_unknown_field_within_a_tool_is_refused_by_its_path() -> None:
    tool = {"function": {"name": "f", "paramters": {}}}
    with pytest.raises(InvalidArgument, match=r"^tools\.1\.function\.paramters: "):
        requests.chat_request({"messages": HELLO, "tools": [{"function": {"name": "g"}}, tool]})


def test_a_wrong_value_is_refused_by_its_path() -> None:
    with pytest.raises(InvalidArgument, match=r"^temperature: ") as error:
        requests.chat_request({"messages": HELLO, "temperature": "hot"})
    assert error.value.details == {"parameter": "temperature"}


def test_keys_of_logit_bias_may_be_numbers() -> None:
    assert requests.chat_request({"messages": HELLO, "logit_bias": {7: 1.0}}).logit_bias == {
        "7": 1.0
    }


@pytest.mark.parametrize(
    ("given", "strict"), [({}, True), ({"strict": False}, False), ({"strict": True}, True)]
)
def test_a_tool_with_a_schema_is_strict_unless_it_says_otherwise(
    given: dict[str, Any], strict: bool
) -> None:
    function = {"name": "f", "parameters": {"type": "object"}, **given}
    request = requests.chat_request({"messages": HELLO, "tools": [{"function": function}]})
    assert request.tools[0].function.strict is strict


def test_a_tool_without_a_schema_is_not_strict() -> None:
    request = requests.chat_request({"messages": HELLO, "tools": [{"function": {"name": "f"}}]})
    assert request.tools[0].function.strict is None


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("sunny", "sunny"),
        ({"weather": "ü"}, '{"weather": "ü"}'),
        ([1, 2], "[1, 2]"),
        ([], "[]"),
        (None, "null"),
        (1.5, "1.5"),
        ([{"type": "text", "text": "sunny"}], [{"type": "text", "text": "sunny"}]),
    ],
)
def test_the_result_of_a_tool_is_a_text_or_becomes_json(content: object, text: object) -> None:
    request = requests.chat_request({"messages": [{"role": "tool", "content": content}]})
    assert request.messages[0]["content"] == text


def test_only_the_content_of_a_tool_becomes_json() -> None:
    messages = [{"role": "user", "content": [1]}]
    assert requests.chat_request({"messages": messages}).messages == messages


def test_a_result_that_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="the result of a tool is a text or a value of JSON"):
        requests.chat_request({"messages": [{"role": "tool", "content": b"bytes"}]})


def test_the_clients_fields_stay_as_they_are() -> None:
    fields = {"messages": [{"role": "tool", "content": 1}], "logit_bias": {1: 1.0}}
    requests.chat_request(fields)
    assert fields == {"messages": [{"role": "tool", "content": 1}], "logit_bias": {1: 1.0}}
