"""Mellea on a real engine, as any client of the worker has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed
from tests.python.support.values import Ref

CHAT: dict[str, Any] = {"type": "chat"}
GREEDY = {"temperature": 0.0, "@@@max_new_tokens@@@": 6}
ENDLESS = {"temperature": 0.0, "max_tokens": 400, "ignore_eos": True}


@pytest.fixture
async def backend(vllm_client: Client, vllm_engine: Ref, model: ScriptedModel) -> Ref:
    """A backend on the shared engine."""
    ref: Ref = await vllm_client.call("LocalVLLMBackend", "new", vllm_engine, str(model.path))
    return ref


@pytest.fixture
async def session(vllm_client: Client, backend: Ref) -> Ref:
    """A session with a chat."""
    ref: Ref = await vllm_client.call("MelleaSession", "new", backend, CHAT)
    return ref


async def items(client: Client, session: Ref, method: str, *args: Any, **kwargs: Any) -> Any:
    """The items of a call, none of which is a question."""
    return [item async for item in client.stream(session, method, *args, **kwargs)]


async def wait_until_idle(client: Client, engine: Ref) -> None:
    await wait_unfinished(client, engine, 0)


async def wait_unfinished(client: Client, engine: Ref, count: int) -> None:
    async with asyncio.timeout(20):
        while await client.call(engine, "get_num_unfinished_requests") != count:
            pass


# Upstream: test_vllm.py::test_multiturn (U-70)
async def test_a_context_is_rendered_as_a_chat_and_continued(
    vllm_client: Client, backend: Ref, model: ScriptedModel
) -> None:
    turns = [
        {"type": "message", "role": "user", "content": "one"},
        {"type": "message", "role": "assistant", "content": "two"},
    ]
    action = {"type": "message", "role": "user", "content": "count"}
    context = {"type": "chat", "turns": turns}
    options = {**GREEDY, "@@@system_prompt@@@": "Be brief."}
    prompt = await vllm_client.call(backend, "render_prompt", action, context, options)
    places = [prompt.index(text) for text in ("Be brief.", "one", "two", "count")]
    assert places == sorted(places)
    thunk = await vllm_client.call(backend, "generate_from_context", action, context, options)
    text = await vllm_client.call(thunk, "avalue")
    assert text == model.expected_text(prompt, 6)
    log = await vllm_client.call(thunk, "generate_log")
    assert [message["role"] for message in log["prompt"]] == ["system", "user", "assistant", "user"]
    assert log["backend"] == f"vllm::{model.path}"
    assert log["usage"]["completion_tokens"] == 6
    # The answer is a turn of the next context.
    context = {"type": "chat", "turns": [*turns, action, thunk]}
    prompt = await vllm_client.call(backend, "render_prompt", "three", context)
    assert text in prompt


# Upstream: test_vllm.py::test_generate_from_raw (U-63)
async def test_raw_texts_are_answered_in_order(
    vllm_client: Client, backend: Ref, model: ScriptedModel
) -> None:
    prompts = ["Hello", "count", "list", "think"]
    thunks = await vllm_client.call(
        backend, "generate_from_raw", prompts, model_options={"temperature": 0.0, "max_tokens": 5}
    )
    values = [await vllm_client.call(thunk, "avalue") for thunk in thunks]
    assert values == [model.expected_text(prompt, 5) for prompt in prompts]
    assert await vllm_client.call(backend, "generate_from_raw", []) == []


# Upstream: test_vllm.py::test_generate_from_raw_with_format (U-64), ::test_format (U-77)
async def test_a_format_holds_in_both_ways_to_generate(vllm_client: Client, backend: Ref) -> None:
    # A map would let a model that cannot write JSON fill it with spaces.
    schema = {"enum": ["alpha", "beta"]}
    options = {"max_tokens": 100, "temperature": 0.0}
    [thunk] = await vllm_client.call(
        backend, "generate_from_raw", ["x"], model_options=options, format=schema
    )
    texts = [await vllm_client.call(thunk, "avalue")]
    thunk = await vllm_client.call(
        backend, "generate_from_context", "x", CHAT, options, format=schema
    )
    texts.append(await vllm_client.call(thunk, "avalue"))
    assert {json.loads(text) for text in texts} <= {"alpha", "beta"}


# Upstream: test_vllm.py::test_async_parallel_requests (U-65), ::test_async_avalue (U-66)
async def test_two_streams_at_once_give_their_values_in_pieces(
    vllm_client: Client, backend: Ref
) -> None:
    options = {"temperature": 0.0, "max_tokens": 60, "ignore_eos": True, "@@@stream@@@": True}
    thunks = [
        await vllm_client.call(backend, "generate_from_context", text, CHAT, options)
        for text in ("count", "Hello")
    ]
    ids = [await vllm_client.call(thunk, "request_id") for thunk in thunks]
    assert ids[0] != ids[1]
    firsts = [await vllm_client.call(thunk, "astream") for thunk in thunks]
    rests = [[piece async for piece in vllm_client.stream(thunk, "stream")] for thunk in thunks]
    for thunk, first, rest in zip(thunks, firsts, rests, strict=True):
        value = await vllm_client.call(thunk, "avalue")
        assert first + "".join(rest) == value == await vllm_client.call(thunk, "value")
        with pytest.raises(Failed, match=r"INVALID.*Streaming has finished"):
            await vllm_client.call(thunk, "astream")


async def test_a_request_that_is_aborted_ends_alone(
    vllm_client: Client, vllm_engine: Ref, backend: Ref
) -> None:
    thunks = [
        await vllm_client.call(backend, "generate_from_context", "count", CHAT, ENDLESS)
        for _ in range(2)
    ]
    name = await vllm_client.call(thunks[0], "request_id")
    await vllm_client.call(vllm_engine, "abort", name)
    values = [await vllm_client.call(thunk, "avalue") for thunk in thunks]
    assert len(values[0]) < len(values[1])


async def test_a_thunk_that_nobody_holds_stops_generating(
    vllm_client: Client, vllm_engine: Ref, backend: Ref
) -> None:
    async with vllm_client.session() as held:
        await held.call(backend, "generate_from_context", "count", CHAT, ENDLESS)
        # A thunk is there before the engine has its request.
        await wait_unfinished(vllm_client, vllm_engine, 1)
    await wait_until_idle(vllm_client, vllm_engine)


async def test_without_an_option_a_text_has_sixteen_tokens(
    vllm_client: Client, backend: Ref
) -> None:
    for options, tokens in (({}, 16), ({"@@@max_new_tokens@@@": 40}, 40)):
        options = {"ignore_eos": True, **options}
        thunk = await vllm_client.call(backend, "generate_from_context", "x", CHAT, options)
        await vllm_client.call(thunk, "avalue")
        log = await vllm_client.call(thunk, "generate_log")
        assert log["usage"]["completion_tokens"] == tokens
        assert log["finish_reasons"] == ["length"]


async def test_parameters_of_the_engine_pass_through(
    vllm_client: Client, backend: Ref, model: ScriptedModel
) -> None:
    whole = await vllm_client.call(
        backend, "generate_from_raw", ["Hello"], model_options={"temperature": 0.0, "max_tokens": 8}
    )
    text = await vllm_client.call(whole[0], "avalue")
    assert text == model.expected_text("Hello", 8)
    stop = text[len(text) // 2 :].split()[0]
    # Several completions are not for greedy sampling; of one candidate all are the same.
    options = {"temperature": 1.0, "top_k": 1, "max_tokens": 8, "stop": [stop], "n": 2}
    [thunk] = await vllm_client.call(backend, "generate_from_raw", ["Hello"], model_options=options)
    assert await vllm_client.call(thunk, "avalue") == text[: text.index(stop)]
    log = await vllm_client.call(thunk, "generate_log")
    assert log["finish_reasons"] == ["stop"]


# Upstream: test_vllm_tools.py::test_tool (U-68)
async def test_a_tool_call_of_the_text_is_found(vllm_client: Client, backend: Ref) -> None:
    tool = {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    options = {"temperature": 0.0, "max_tokens": 20}
    action = {"type": "component", "name": "Raw", "template": "weather"}
    given = (action, CHAT, options, True, [tool])
    assert "get_weather" in await vllm_client.call(backend, "render_prompt", *given)
    thunk = await vllm_client.call(backend, "generate_from_context", *given)
    assert await vllm_client.call(thunk, "tool_calls") == {"get_weather": {"city": "Paris"}}
    # A tool of another name is not there; and with a format nobody looks for calls.
    other = (action, CHAT, options, True, [{**tool, "name": "other"}])
    thunk = await vllm_client.call(backend, "generate_from_context", *other)
    assert await vllm_client.call(thunk, "tool_calls") is None
    format = {"enum": ["alpha"]}
    assert "tools" not in await vllm_client.call(backend, "render_prompt", *given, format)


async def test_an_instruction_is_repeated_until_the_client_is_content(
    vllm_client: Client, session: Ref
) -> None:
    instruction = {
        "description": "Write one word about {{topic}}.",
        "user_variables": {"topic": "sky"},
        "requirements": [{"description": "the third one", "asked": True}],
    }
    strategy = {"name": "rejection", "loop_budget": 5}
    stream: AsyncIterator[Any] = vllm_client.stream(
        session, "instruct", instruction, strategy, GREEDY
    )
    asked, result = [], None
    async for item in stream:
        if "question" in item:
            asked.append(item)
            await vllm_client.call(
                session, "answer", item["question"], len(asked) == 3, "not the third"
            )
        else:
            result = item["result"]
    assert result is not None
    assert [item["requirement"] for item in asked] == [0, 0, 0]
    assert result["success"] is True
    assert [one["validations"][0]["result"] for one in result["samples"]] == [False, False, True]
    assert result["value"] == asked[-1]["text"]
    messages = await vllm_client.call(session, "context")
    assert "about sky." in messages[0]["content"]
    assert messages[1] == {"role": "assistant", "content": result["value"]}


async def test_a_chat_goes_on_and_can_be_judged(vllm_client: Client, session: Ref) -> None:
    [item] = await items(vllm_client, session, "chat", "Hello", GREEDY)
    assert item["result"]["success"] is True
    await items(vllm_client, session, "chat", "count", GREEDY)
    assert len(await vllm_client.call(session, "context")) == 4
    [item] = await items(vllm_client, session, "validate", ["is a poem"], model_options=GREEDY)
    assert item["result"]["validations"][0]["result"] is False
    await vllm_client.call(session, "reset")
    assert await vllm_client.call(session, "context") == []


async def test_a_caller_that_leaves_ends_its_request(
    vllm_client: Client, vllm_engine: Ref, session: Ref
) -> None:
    stream = vllm_client.stream(session, "chat", "count", ENDLESS, timeout_ms=300)
    with pytest.raises(Failed, match="TIMEOUT"):
        [item async for item in stream]
    await wait_until_idle(vllm_client, vllm_engine)
    # And the session answers the next call.
    assert await items(vllm_client, session, "chat", "Hello", GREEDY)


ODD: list[Any] = [None, True, -1, 2**70, 1.5, "x", b"x", [], [None], {}, {"type": "chat"}]


@pytest.mark.parametrize("position", range(2))
async def test_odd_arguments_are_refused_and_the_engine_goes_on(
    vllm_client: Client, vllm_engine: Ref, backend: Ref, session: Ref, position: int
) -> None:
    sound: list[Any] = ["Hello", CHAT]
    for odd in ODD:
        args = [*sound]
        args[position] = odd
        for call in (
            vllm_client.call(backend, "generate_from_context", *args, GREEDY),
            vllm_client.call(backend, "generate_from_context", *sound, {"temperature": odd}),
            vllm_client.call(backend, "render_prompt", *args),
            vllm_client.call(backend, "generate_from_raw", odd),
            items(vllm_client, session, "chat", odd, GREEDY),
            items(vllm_client, session, "validate", odd),
            items(vllm_client, session, "instruct", odd),
        ):
            try:
                await call
            except Failed as error:
                assert error.kind in ("INVALID", "UNSUPPORTED", "CONFLICT"), error  # noqa: PT017
    await wait_until_idle(vllm_client, vllm_engine)
