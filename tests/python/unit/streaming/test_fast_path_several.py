"""What a step brings of several completions goes as one item, as vLLM's collector has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from python_worker.exceptions import Unsupported
from python_worker.wire import server_frames
from tests.python.support.request_states import Engine
from tests.python.support.streams import Places, Request, wait_turns

#: A state of which no output is ever plain: all of them are made, and put.
MADE: dict[str, Any] = {"streaming_input": True}


async def begun(sink: Places, completions: int = 2) -> Request:
    request = Engine(completions, **MADE).request(sink)
    await wait_turns()
    return request


async def test_the_outputs_of_a_turn_are_one_item_in_one_place() -> None:
    sink = Places()
    request = await begun(sink, 3)
    for turn in range(1, 3):
        for index in range(3):
            request.put(index + turn, index=index)
        assert sink.places == 1000 - turn
        assert len(sink.items) == turn - 1  # until the turn ends
        await wait_turns()
    assert sink.items == [b"0:1 1:2 2:3", b"0:2 1:3 2:4"]
    assert request.collector.kept == 0
    request.put(9, index=1, finished=True)
    await request.task
    assert sink.items[2:] == [b"1:9"]
    assert sink.outcomes == ["accepted", "item", "item", "item", "end"]
    assert sink.places == 997
    assert request.aborted == []


async def test_an_index_twice_in_a_turn_is_merged() -> None:
    sink = Places()
    request = await begun(sink)
    request.put(1, index=0)
    request.put(2, index=1)
    request.put(3, index=0)
    await wait_turns()
    assert sink.items == [b"0:13 1:2"]
    request.put(4, finished=True)
    await request.task


async def test_the_last_output_takes_along_what_was_gathered() -> None:
    sink = Places()
    request = await begun(sink)
    request.put(1, index=0)
    request.put(2, index=1, finished=True)
    assert sink.items == []
    await request.task
    assert sink.items == [b"0:1 1:2"]
    await wait_turns()  # What was to run at the end of the turn finds nothing.
    assert sink.outcomes == ["accepted", "item", "end"]
    assert sink.places == 999


async def test_a_failure_of_the_engine_does_not_overtake_what_was_gathered() -> None:
    sink = Places()
    request = await begun(sink)
    request.put(1, index=0)
    request.collector.put(RuntimeError("dead"))
    assert sink.items == [b"0:1"]
    with pytest.raises(RuntimeError, match="dead"):
        await request.task
    assert sink.items == [b"0:1"]


async def test_without_credit_they_are_merged_by_the_collector() -> None:
    sink = Places(1)
    request = await begun(sink)
    for turn in range(3):
        for index in range(2):
            request.put(turn, index=index)
        await wait_turns()
    assert sink.items == [b"0:0 1:0"]
    assert request.collector.kept == 4
    sink.give(10)
    await wait_turns()
    # The first of them had been taken out of the collector, to wait for its place.
    assert sink.items[1:] == [b"0:1 1:1", b"0:2 1:2"]
    request.put(7, index=0)
    request.put(8, index=1)
    await wait_turns()
    assert sink.items[3:] == [b"0:7 1:8"]
    request.put(9, finished=True)
    await request.task
    assert request.collector.kept == 5
    assert sink.places == 11 - 5


async def test_credit_that_ends_within_a_turn_does_not_part_it() -> None:
    sink = Places(1)
    request = await begun(sink)
    request.put(1, index=0)
    assert sink.places == 0
    request.put(2, index=1)
    await wait_turns()
    assert sink.items == [b"0:1 1:2"]
    request.task.cancel()
    await asyncio.wait([request.task])


async def test_the_end_of_a_call_drops_what_was_gathered() -> None:
    sink = Places()
    request = await begun(sink)
    failed: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    request.task.cancel()
    request.put(1, index=0)
    # Its task is before what was to run at the end of the turn.
    with pytest.raises(asyncio.CancelledError):
        await request.task
    request.put(2, index=1)
    await wait_turns()
    assert sink.outcomes == ["accepted"]
    assert "put" not in vars(request.collector)
    assert failed == []


async def put_at_the_end_of_a_turn(request: Request) -> None:
    request.put(2, index=0)
    request.encoder.failing = True
    await asyncio.sleep(0)
    request.encoder.failing = False


async def put_before_the_last(request: Request) -> None:
    request.put(2, index=0)
    request.encoder.failing = True
    request.put(3, index=1, finished=True)


@pytest.mark.parametrize("fail", [put_at_the_end_of_a_turn, put_before_the_last])
async def test_what_cannot_be_encoded_fails_its_call_and_not_who_put_it(
    fail: Callable[[Request], Awaitable[None]],
) -> None:
    sink = Places()
    request = await begun(sink)
    request.put(1, index=0)
    await wait_turns()
    await fail(request)
    request.put(4, index=1)
    with pytest.raises(ValueError, match="cannot"):
        await request.task
    await wait_turns()
    assert sink.items == [b"0:1"]
    assert request.aborted == ["req-1"]


async def test_what_no_message_can_hold_when_it_is_merged_fails_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_frames, "MAX_VALUE_BYTES", 4)
    sink = Places()
    request = await begun(sink)
    request.put(1, index=0)
    request.put(2, index=1)
    with pytest.raises(Unsupported, match="has 7 bytes; a message holds at most 4"):
        await request.task
    assert sink.items == []


async def test_the_only_completion_that_is_left_does_not_wait_for_the_end_of_a_turn() -> None:
    """One that ends before the collector is taken over is forgotten by vLLM."""
    sink = Places()
    engine = Engine(2, **MADE)
    request = engine.request(sink)
    request_id = request.collector.request_id
    engine.output_processor.request_states.pop(f"0_{request_id}")
    engine.output_processor.parent_requests[request_id].child_requests.discard(f"0_{request_id}")
    await wait_turns()
    request.put(1, index=1)
    assert sink.items == [b"1:1"]
    request.put(2, index=1, finished=True)
    await request.task
    assert sink.items == [b"1:1", b"1:2"]
