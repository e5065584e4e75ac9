"""Functions of the client around a generation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.integrations.mellea.backends import Backend
from python_worker.integrations.mellea.hooks import NAMES, check_changes
from python_worker.integrations.mellea.sessions import Session
from tests.python.support.mellea import CHAT, Engine, backend_of
from tests.python.support.served import until

PRE, POST, BATCH_PRE, BATCH_POST = NAMES

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


async def answered(
    target: Backend | Session, stream: AsyncGenerator[dict[str, Any], None], ask: Ask
) -> Any:
    """The result of a call, whose hooks are answered by a function."""
    async for item in stream:
        if "result" in item:
            await stream.aclose()  # as a client leaves that has its result
            return item["result"]
        await target.answer_hook(item["question"], ask(item["hook"], item["payload"]))
    raise AssertionError("there was no result")


async def test_a_hook_sees_the_call_and_changes_its_options_format_and_tools() -> None:
    engine = Engine("text")
    backend = await backend_of(engine, model_options={"max_tokens": 5})
    seen: list[Any] = []

    def ask(hook: str, payload: dict[str, Any]) -> dict[str, Any]:
        seen.append((hook, payload))
        return {
            "model_options": {"temperature": 0.0, "max_tokens": 9, "@@@system_prompt@@@": "Hi."},
            "format": None,
            "tool_calls": True,
        }

    stream = backend.generate_from_context_with_hooks(
        [PRE],
        "x",
        CHAT,
        {"temperature": 0.7, "@@@max_new_tokens@@@": 7, "seed": 1},
        tools=[{"name": "f"}],
        format={"enum": ["a"]},
    )
    thunk = (await answered(backend, stream, ask))["value"]
    assert await thunk.avalue() == "text"
    [(hook, payload)] = seen
    assert hook == PRE
    assert payload["generation_id"] == await thunk.request_id()
    assert payload["messages"] == [{"role": "user", "content": "x"}]
    assert payload["model_options"] == {
        "temperature": 0.7,
        "@@@max_new_tokens@@@": 7,
        "seed": 1,
    }
    assert payload["format"] == {"enum": ["a"]}
    assert (payload["model"], payload["provider"]) == ("a/model", "vllm")
    assert payload["tool_calls"] is False
    [(prompt, params)] = engine.asked
    assert (params.temperature, params.max_tokens, params.seed) == (0.0, 9, 1)
    assert params.structured_outputs is None
    assert prompt["prompt"] == "tool f\nsystem: Hi.\nuser: x\nassistant:"


async def test_a_text_outlives_the_call_that_began_it_with_hooks() -> None:
    engine = Engine(None)
    backend = await backend_of(engine)
    stream = backend.generate_from_context_with_hooks([PRE], "x", CHAT)
    thunk = (await answered(backend, stream, lambda _hook, _payload: {}))["value"]
    await until(lambda: engine.running)
    assert engine.aborted == []
    await thunk.cancel()
    assert engine.running == 0


async def test_a_hook_after_a_text_that_is_begun_only_is_refused() -> None:
    backend = await backend_of(Engine())
    with pytest.raises(Unsupported, match="wait for the thunk's value"):
        await anext(backend.generate_from_context_with_hooks([POST], "x", CHAT))


async def test_hooks_around_raw_texts_see_all_of_them_at_once() -> None:
    engine = Engine("one", "two")
    backend = await backend_of(engine)
    seen: list[Any] = []

    def ask(hook: str, payload: dict[str, Any]) -> dict[str, Any]:
        seen.append((hook, payload))
        return {"model_options": {"seed": 3}} if hook == BATCH_PRE else {}

    stream = backend.generate_from_raw_with_hooks([BATCH_PRE, BATCH_POST], ["a", "b"])
    thunks = (await answered(backend, stream, ask))["value"]
    assert [await thunk.avalue() for thunk in thunks] == ["one", "two"]
    (before, asked), (after, told) = seen
    assert (before, after) == (BATCH_PRE, BATCH_POST)
    assert asked["prompts"] == ["a", "b"]
    assert asked["num_actions"] == 2
    assert asked["generation_id"] == told["generation_id"]
    assert [output["value"] for output in told["outputs"]] == ["one", "two"]
    assert told["latency_ms"] >= 0
    assert [params.seed for _prompt, params in engine.asked] == [3, 3]


async def test_every_text_of_a_session_has_its_hooks() -> None:
    engine = Engine("a", "b", "yes")
    session = await Session.new(await backend_of(engine), CHAT)
    seen: list[Any] = []

    def ask(hook: str, payload: dict[str, Any]) -> dict[str, Any]:
        seen.append((hook, payload.get("value"), payload["generation_id"]))
        return {"model_options": {"temperature": len(seen) / 8}} if hook == PRE else {}

    instruction = {"description": "Write.", "requirements": ["is b"]}
    stream = session.instruct(
        instruction, {"name": "rejection", "loop_budget": 2}, hooks=[PRE, POST]
    )
    result = await answered(session, stream, ask)
    # A text, and what the judge says of it; twice.
    assert [hook for hook, _value, _name in seen] == [PRE, POST] * 4
    assert [value for hook, value, _name in seen if hook == POST] == ["a", "b", "yes", "yes"]
    pairs = zip(seen[::2], seen[1::2], strict=True)
    assert all(before[2] == after[2] for before, after in pairs)
    assert [params.temperature for _prompt, params in engine.asked] == [1 / 8, 3 / 8, 5 / 8, 7 / 8]
    assert result["success"] is True

    seen.clear()
    await answered(session, session.chat("x", hooks=[POST]), ask)
    assert [(hook, value) for hook, value, _name in seen] == [(POST, "yes")]
    seen.clear()
    await answered(session, session.validate(["is b"], "b", hooks=[PRE]), ask)
    assert [hook for hook, _value, _name in seen] == [PRE]


async def test_a_client_that_leaves_while_its_hook_runs_ends_the_call() -> None:
    engine = Engine()
    backend = await backend_of(engine)
    stream = backend.generate_from_context_with_hooks([PRE], "x", CHAT)
    item = await anext(stream)
    await stream.aclose()
    assert engine.asked == []
    with pytest.raises(InvalidArgument, match="nobody waits"):
        await backend.answer_hook(item["question"], {})


async def test_a_hook_is_not_answered_by_a_verdict() -> None:
    session = await Session.new(await backend_of(Engine()), CHAT)
    stream = session.chat("x", hooks=[PRE])
    item = await anext(stream)
    with pytest.raises(InvalidArgument, match="answer_hook"):
        await session.answer(item["question"], True)
    await stream.aclose()


async def test_a_change_that_the_engine_refuses_is_the_calls_error() -> None:
    backend = await backend_of(Engine())
    stream = backend.generate_from_context_with_hooks([PRE], "x", CHAT)
    with pytest.raises(InvalidArgument, match="temperature"):
        await answered(backend, stream, lambda *_: {"model_options": {"temperature": "hot"}})


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": []},
        {"model_options": None},
        {"model_options": {5: 5}},
        {"model_options": {"@@@stream@@@": "yes"}},
        {"model_options": {"@@@tools@@@": []}},
        {"format": "x"},
        {"tool_calls": 1},
    ],
)
def test_what_a_hook_cannot_change_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        check_changes(changes)


async def test_a_hook_of_another_name_is_refused() -> None:
    backend = await backend_of(Engine())
    for odd in ("session_reset", 5, None):
        with pytest.raises(InvalidArgument, match="hooks: there is no"):
            await anext(backend.generate_from_raw_with_hooks([odd], ["x"]))


async def test_calls_without_hooks_ask_nothing_while_others_do() -> None:
    engine = Engine("text")
    backend = await backend_of(engine)
    stream = backend.generate_from_context_with_hooks([PRE], "x", CHAT)
    item = await anext(stream)
    thunk = await asyncio.wait_for(backend.generate_from_context("y", CHAT), 60)
    assert await thunk.avalue() == "text"
    await backend.answer_hook(item["question"], {})
    await stream.aclose()
