"""A text that is being made, as its readers see it. Upstream: test_astream_mock.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.thunks import Thunk
from tests.python.support.mellea import CHAT, Engine, backend_of
from tests.python.support.served import until

STREAM = {"@@@stream@@@": True}


async def thunk_of(engine: Engine, **options: Any) -> Thunk:
    backend = await backend_of(engine)
    return await backend.generate_from_context("say it", CHAT, {**STREAM, **options})


# Upstream: ::test_astream_returns_incremental_chunks (U-83),
# ::test_astream_final_call_returns_full_value (U-84)
async def test_pieces_are_new_each_time_and_together_the_value() -> None:
    # More than the thunk's queue takes.
    thunk = await thunk_of(Engine("0123456789" * 10, pieces=100))
    assert await thunk.value() is None
    pieces = []
    while not await thunk.is_computed():
        pieces.append(await thunk.astream())
    assert len(pieces) > 1
    assert "".join(pieces) == await thunk.value() == await thunk.avalue() == "0123456789" * 10


# Upstream: ::test_astream_computed_raises_error (U-67)
async def test_a_text_that_is_whole_has_no_more_pieces() -> None:
    thunk = await thunk_of(Engine("text"))
    assert await thunk.avalue() == "text"
    with pytest.raises(InvalidArgument, match="Streaming has finished"):
        await thunk.astream()
    assert [piece async for piece in thunk.stream()] == []


# Upstream: test_astream_exception_propagation.py::test_astream_propagates_generation_exception
# (U-85), ::test_astream_post_process_only_called_on_success (U-86)
async def test_the_engines_error_is_every_readers_error_and_there_is_no_log() -> None:
    thunk = await thunk_of(Engine(ValueError("refused")))
    for read in (thunk.avalue, thunk.astream, thunk.tool_calls, thunk.avalue):
        with pytest.raises(ValueError, match="refused"):
            await read()
    assert await thunk.is_computed() is False
    assert await thunk.generate_log() is None


async def test_a_reader_that_leaves_takes_no_piece_along() -> None:
    engine = Engine(None)
    thunk = await thunk_of(engine)
    reader = asyncio.ensure_future(thunk.astream())
    await until(lambda: engine.running)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    # The piece that was waited for is still to come.
    await thunk.cancel()
    assert await thunk.is_computed() is True


async def test_of_several_completions_the_first_is_the_text() -> None:
    thunk = await thunk_of(Engine("0123456789", pieces=5), n=2)
    assert await thunk.avalue() == "0123456789"


async def test_readers_at_once_each_get_the_whole_text() -> None:
    thunk = await thunk_of(Engine("0123456789", pieces=9))
    values = await asyncio.gather(*(thunk.avalue() for _ in range(5)))
    assert values == ["0123456789"] * 5


async def test_a_text_that_nobody_holds_is_not_made_any_more() -> None:
    engine = Engine(None)
    thunk = await thunk_of(engine)
    await until(lambda: engine.running)
    thunk.released()
    await until(lambda: engine.aborted)
    assert engine.running == 0


async def test_the_log_says_what_was_asked() -> None:
    backend = await backend_of(Engine("text"))
    for options, seed in (({"seed": 7}, 7), ({}, None)):
        thunk = await backend.generate_from_context("say it", CHAT, options)
        await thunk.avalue()
        log = await thunk.generate_log()
        assert log is not None
        assert log["prompt"] == [{"role": "user", "content": "say it"}]
        assert (log["backend"], log["model_output"]) == ("vllm::a/model", "text")
        assert log["extra"] == {
            "format": None,
            "tools_available": [],
            "tools_called": None,
            "seed": seed,
        }


async def test_what_the_actions_parser_made_of_the_text() -> None:
    backend = await backend_of(Engine("text"))
    thunk = await backend.generate_from_context("say it", CHAT)
    await thunk.avalue()
    assert await thunk.parsed_repr() == "text"
    message = {"type": "message", "role": "user", "content": "say it"}
    thunk = await backend.generate_from_context(message, CHAT)
    assert await thunk.parsed_repr() is None
    await thunk.avalue()
    assert await thunk.parsed_repr() == {"role": "assistant", "content": "text"}
