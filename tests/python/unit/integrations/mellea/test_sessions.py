"""Instruct, chat and validate on an engine without vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.sessions import Session
from tests.python.support.mellea import CHAT, Engine, backend_of
from tests.python.support.served import until

ASKED = {"description": "is good", "asked": True}
REJECTION = {"name": "rejection", "loop_budget": 3}


async def session_of(engine: Engine) -> Session:
    return await Session.new(await backend_of(engine), CHAT)


async def followed(
    session: Session, stream: AsyncGenerator[dict[str, Any], None], *good: str
) -> dict[str, Any]:
    """The result of a call; its client is content with some texts."""
    async for item in stream:
        if "result" in item:
            result: dict[str, Any] = item["result"]
            return result
        fits = item["text"] in good
        await session.answer(item["question"], fits, None if fits else "not good", 0.5)
    raise AssertionError("there was no result")


async def test_a_text_is_made_again_until_it_is_good() -> None:
    engine = Engine("a", "b", "c")
    session = await session_of(engine)
    instruction = {"description": "Write.", "requirements": [ASKED]}
    stream = session.instruct(instruction, REJECTION)
    result = await followed(session, stream, "b")
    assert (result["value"], result["success"]) == ("b", True)
    assert result["samples"] == [
        {
            "value": text,
            "validations": [
                {"requirement": "is good", "result": fits, "reason": reason, "score": 0.5}
            ],
        }
        for text, fits, reason in (("a", False, "not good"), ("b", True, None))
    ]
    assert await result["thunk"].avalue() == "b"
    assert [message["role"] for message in await session.context()] == ["user", "assistant"]


async def test_a_repair_tells_the_model_what_was_wrong() -> None:
    engine = Engine("a", "b")
    session = await session_of(engine)
    instruction = {"description": "Write.", "requirements": [ASKED]}
    plan = {"name": "repair_template", "loop_budget": 2}
    await followed(session, session.instruct(instruction, plan), "b")
    prompts = ["".join(map(chr, prompt["prompt_token_ids"])) for prompt, _ in engine.asked]
    assert "not good" not in prompts[0]
    assert "not good" in prompts[1]


async def test_a_budget_that_is_used_up_is_no_success() -> None:
    session = await session_of(Engine("a"))
    instruction = {"description": "Write.", "requirements": [ASKED]}
    result = await followed(session, session.instruct(instruction, REJECTION))
    assert (result["success"], len(result["samples"])) == (False, 3)


async def test_without_a_strategy_nobody_checks() -> None:
    session = await session_of(Engine("a"))
    instruction = {"description": "Write.", "requirements": [ASKED]}
    result = await followed(session, session.instruct(instruction))
    assert (result["value"], result["success"], result["samples"]) == ("a", True, [])


async def test_a_client_that_leaves_ends_the_text() -> None:
    engine = Engine(None)
    session = await session_of(engine)
    reading = asyncio.ensure_future(followed(session, session.chat("x")))
    await until(lambda: engine.running)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await until(lambda: not engine.running)
    await session.reset()
    assert await session.context() == []


async def test_calls_of_a_chat_wait_for_their_turn_and_others_do_not() -> None:
    engine = Engine(None)
    session = await session_of(engine)
    reading = [asyncio.ensure_future(followed(session, session.chat(text))) for text in "xy"]
    await until(lambda: engine.running)
    reading[0].cancel()
    await until(lambda: len(engine.asked) == 2)
    assert engine.running == 1
    reading[1].cancel()
    other = await Session.new(await backend_of(engine))
    reading += [asyncio.ensure_future(followed(other, other.chat(text))) for text in "xy"]
    await until(lambda: engine.running == 2)
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)


async def test_a_text_or_the_last_output_is_judged() -> None:
    session = await session_of(Engine("good"))
    with pytest.raises(InvalidArgument, match="has said nothing"):
        await followed(session, session.validate([ASKED]))
    for output, fits in (("good", True), ("bad", False)):
        result = await followed(session, session.validate([ASKED], output), "good")
        assert [one["result"] for one in result["validations"]] == [fits]
    await followed(session, session.chat("x"))
    result = await followed(session, session.validate([ASKED]), "good")
    assert result["validations"][0]["result"] is True
    with pytest.raises(InvalidArgument, match="wants a text or a thunk"):
        await followed(session, session.validate([ASKED], 5))


async def test_an_error_of_the_engine_is_the_calls() -> None:
    session = await session_of(Engine(ValueError("refused"), "x"))
    with pytest.raises(ValueError, match="refused"):
        await followed(session, session.chat("x"))
    assert (await followed(session, session.chat("x")))["value"] == "x"
