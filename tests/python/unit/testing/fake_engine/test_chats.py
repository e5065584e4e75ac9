"""Chats of the fake engine, served by what serves vLLM's; nothing of it imports vLLM."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from python_worker.chat.answers import ChatCompletion, ChatDelta
from python_worker.chat.completions import Chats
from python_worker.engines.builder import abort
from python_worker.exceptions import InvalidArgument
from python_worker.testing.fake_engine.chats import conversation, text_of
from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_vllm.types import AsyncEngineArgs

CALL = [["f", {"city": "Rome"}]]
TOOL = {"type": "function", "function": {"name": "f"}}
NAMED = {"type": "function", "function": {"name": "f"}}


def fields(text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def chat(engine: FakeAsyncLLM, request: dict[str, Any], **options: Any) -> ChatCompletion:
    return await Chats(abort).chat(engine, request, **options)


def stream(
    engine: FakeAsyncLLM, request: dict[str, Any], **options: Any
) -> AsyncGenerator[ChatDelta, None]:
    return Chats(abort).stream_chat(engine, request, **options)


async def test_a_chat_needs_nothing_that_comes_with_vllm(
    engine: FakeAsyncLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("vllm", "pydantic", "jinja2", "transformers", "torch"):
        monkeypatch.setitem(sys.modules, package, None)  # Importing it is an error now.
    await engine.script({"say": ["Hi", "!"]}, prompt="Hello")
    request = fields(tools=[TOOL], response_format={"type": "json_object"}, logprobs=True)
    options = {"tool_parser": "hermes", "reasoning_parser": "qwen3"}
    assert [it.content async for it in stream(engine, request, **options)] == ["Hi", "!"]
    assert (await chat(engine, request, **options)).choices[0].message.content == "Hi!"
    answer = await chat(engine, fields())
    assert answer.choices[0].message.content == "Hi!"
    assert answer.usage.prompt_tokens == len("user: Hello\n")
    assert answer.usage.reasoning_tokens is None


async def test_a_script_is_counted_once_for_each_chat(engine: FakeAsyncLLM) -> None:
    await engine.script({"say": ["then"]})
    await engine.script({"say": ["first"]}, times=1)
    answers = [await chat(engine, fields()) for _ in range(3)]
    texts = [answer.choices[0].message.content for answer in answers]
    assert texts == ["first", "then", "then"]


@pytest.mark.parametrize(
    ("behaviour", "more", "tokens"),
    [
        ({}, {}, 16),
        ({}, {"max_tokens": 3}, 3),
        ({}, {"max_tokens": 3, "max_completion_tokens": 2}, 2),
        ({"tokens": 20}, {}, 20),
        ({"say": ["x"] * 20}, {}, 20),
        ({"say": ["x"] * 20}, {"max_tokens": 5}, 5),
    ],
)
async def test_an_answer_is_as_long_as_its_script_and_the_request_say(
    engine: FakeAsyncLLM, behaviour: dict[str, Any], more: dict[str, Any], tokens: int
) -> None:
    await engine.script(behaviour)
    answer = await chat(engine, fields(**more))
    assert answer.usage.completion_tokens == tokens


async def test_an_answer_ends_with_the_window() -> None:
    engine = FakeAsyncLLM.from_engine_args(AsyncEngineArgs(max_model_len=16))
    await engine.script({"say": ["x"] * 20})
    answer = await chat(engine, fields())
    assert answer.usage.total_tokens == 16
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("more", "finish", "content"),
    [
        ({}, "tool_calls", "a"),
        ({"tool_choice": "required"}, "tool_calls", "a"),
        ({"tool_choice": NAMED}, "stop", "a"),
    ],
)
async def test_a_call_ends_as_with_vllm(
    engine: FakeAsyncLLM, more: dict[str, Any], finish: str, content: str
) -> None:
    await engine.script({"say": ["a"], "tool_calls": CALL})
    request = fields(tools=[TOOL], **more)
    [choice] = (await chat(engine, request, tool_parser="hermes")).choices
    assert (choice.finish_reason, choice.message.content) == (finish, content)
    assert [call.arguments for call in choice.message.tool_calls] == [{"city": "Rome"}]
    deltas = [it async for it in stream(engine, request, tool_parser="hermes")]
    assert deltas[-1].finish_reason == finish
    assert deltas[-1].usage is not None


async def test_a_tool_that_may_not_be_called_stays_a_text(engine: FakeAsyncLLM) -> None:
    await engine.script({"tool_calls": CALL})
    request = fields(tools=[TOOL], tool_choice="none")
    [choice] = (await chat(engine, request, tool_parser="hermes")).choices
    assert choice.message.tool_calls == []
    assert (choice.message.content or "").startswith("<tool_call>")


async def test_several_calls_are_several_in_a_stream(engine: FakeAsyncLLM) -> None:
    await engine.script({"tool_calls": [*CALL, ["g", {}]]})
    deltas = stream(engine, fields(tools=[TOOL]), tool_parser="hermes")
    calls = [call async for delta in deltas for call in delta.tool_calls]
    assert [call.name for call in calls if call.id] == ["f", "g"]
    texts = ["".join(it.arguments_json or "" for it in calls if it.index == n) for n in (0, 1)]
    assert texts == ['{"city": "Rome"}', "{}"]


async def test_tools_need_a_parser(engine: FakeAsyncLLM) -> None:
    for choice in ("auto", "required", NAMED):
        with pytest.raises(InvalidArgument, match="requires tool_parser") as error:
            await chat(engine, fields(tools=[TOOL], tool_choice=choice))
        assert error.value.details == {"parameter": "tool_parser"}
    with pytest.raises(InvalidArgument, match="chat_template_content_format"):
        await chat(engine, fields(), chat_template_content_format="xml")


async def test_the_record_has_the_request_and_what_was_made_of_it(engine: FakeAsyncLLM) -> None:
    request = fields(
        temperature=0.0,
        logit_bias={"5": 1.0},
        logprobs=True,
        response_format={"type": "json_object"},
        priority=3,
        vllm_xargs={"own": 1},
    )
    answer = await chat(engine, request, reasoning_parser="qwen3")
    [[_, args, named]] = await engine.calls("chat")
    assert args == [request]
    assert named == {"request_id": answer.id, "prompt": "Hello", "reasoning_parser": "qwen3"}
    [[_, [prompt, params, request_id], options]] = await engine.calls("generate")
    assert (prompt["prompt"], request_id, options["priority"]) == ("Hello", answer.id, 3)
    assert (params.temperature, params.logit_bias, params.logprobs) == (0.0, {5: 1.0}, 0)
    assert params.structured_outputs.json_object
    assert params.extra_args == {"own": 1}


async def test_a_stream_that_is_closed_leaves_no_request(engine: FakeAsyncLLM) -> None:
    await engine.script({"say": ["a", "b"], "paced": True, "hang": True, "after": 1})
    deltas = stream(engine, fields())
    delta = await anext(deltas)
    await deltas.aclose()
    await engine.wait_aborted(delta.id)
    await engine.wait_requests(0)


def test_the_text_of_a_message_is_that_of_its_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image", "path": "p"}, "b"]
    assert text_of({"role": "user", "content": parts}) == "a\n<image>\nb"
    assert text_of({"role": "assistant", "content": None}) == ""
    calls = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    assert '"f"' in conversation([{"role": "assistant", "content": "a", "tool_calls": calls}])
