"""An output is sent where the engine puts it, as long as nothing is before it and there is credit.

Requests of one completion here; ``test_gathering`` has those of several.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from python_worker.exceptions import Unsupported
from python_worker.streaming.fast_path import MANY_LOGPROBS, has_many_logprobs
from python_worker.wire import server_frames
from tests.python.support.streams import Places, Request, output, wait_turns


async def test_an_output_is_sent_in_the_turn_in_which_it_is_put() -> None:
    sink = Places()
    request = Request(sink)
    await wait_turns()
    request.put(1)
    request.put(2)
    assert sink.items == [b"0:1", b"0:2"]
    assert request.collector.kept == 0
    request.put(3, finished=True)
    await request.task
    assert sink.outcomes == ["accepted", "item", "item", "item", "end"]
    assert sink.items[2] == b"0:3"
    assert sink.places == 997
    assert "put" not in vars(request.collector)
    assert request.aborted == []


async def test_an_output_that_came_before_the_fast_path_stays_before_the_next() -> None:
    sink = Places(0)
    request = Request(sink, first=output(1))
    await wait_turns()
    sink.places = 5  # Credit has come, and the task that waits for it has not run yet.
    request.put(2)
    request.put(3)
    assert sink.items == []
    sink.give(0)
    await wait_turns()
    request.put(4, finished=True)
    await request.task
    assert sink.items == [b"0:1", b"0:23", b"0:4"]


async def test_without_credit_outputs_are_merged_and_stay_in_order() -> None:
    sink = Places(2)
    request = Request(sink)
    await wait_turns()
    for token in range(1, 4):
        request.put(token)
    await wait_turns()
    for token in range(4, 7):
        request.put(token)
    assert sink.items == [b"0:1", b"0:2"]
    sink.give(10)
    await wait_turns()
    assert sink.items[2:] == [b"0:3", b"0:456"]
    request.put(7)
    assert sink.items[4:] == [b"0:7"]
    request.put(8, finished=True)
    await request.task
    assert sink.items[5:] == [b"0:8"]
    assert sink.places == 12 - 6


async def test_an_output_put_while_one_waits_for_its_task_does_not_overtake_it() -> None:
    sink = Places(0)
    request = Request(sink)
    await wait_turns()
    request.put(1)
    sink.places = 5  # Credit has come, and the task has not run yet.
    request.put(2)
    assert sink.items == []
    await wait_turns()
    request.put(3, finished=True)
    await request.task
    assert sink.items == [b"0:12", b"0:3"]


async def test_a_failure_of_the_engine_comes_after_what_was_put_before() -> None:
    sink = Places()
    request = Request(sink)
    await wait_turns()
    request.put(1)
    request.collector.put(RuntimeError("dead"))
    with pytest.raises(RuntimeError, match="dead"):
        await request.task
    assert sink.items == [b"0:1"]
    assert request.aborted == ["req-1"]


async def test_an_output_that_cannot_be_encoded_fails_its_call_and_not_who_put_it() -> None:
    sink = Places()
    request = Request(sink)
    await wait_turns()
    request.put(1)
    request.encoder.failing = True
    request.put(2)
    request.encoder.failing = False
    request.put(3)
    with pytest.raises(ValueError, match="cannot"):
        await request.task
    assert sink.items == [b"0:1"]
    assert request.aborted == ["req-1"]


async def test_an_output_that_no_message_can_hold_fails_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_frames, "MAX_VALUE_BYTES", 4)
    request = Request(Places())
    await wait_turns()
    request.put(1, 2, 3)
    with pytest.raises(Unsupported, match="has 5 bytes; a message holds at most 4"):
        await request.task
    assert request.aborted == ["req-1"]


async def test_what_is_put_after_the_end_of_a_call_is_not_sent() -> None:
    sink = Places()
    request = Request(sink)
    await wait_turns()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task
    request.put(1)
    assert sink.outcomes == ["accepted"]
    assert request.aborted == ["req-1"]


@pytest.mark.parametrize(
    ("item", "many"),
    [
        (object(), False),
        (SimpleNamespace(outputs=SimpleNamespace(data=1)), False),
        (SimpleNamespace(outputs=[]), False),
        (SimpleNamespace(outputs=[SimpleNamespace(logprobs=[{1: 0.5}] * 10)]), False),
        (SimpleNamespace(outputs=[SimpleNamespace(logprobs=[{}])], prompt_logprobs=[None]), False),
        (SimpleNamespace(outputs=[], prompt_logprobs=[None, {1: 0.5}] * MANY_LOGPROBS), True),
        (
            SimpleNamespace(
                outputs=[SimpleNamespace(logprobs=[dict.fromkeys(range(MANY_LOGPROBS))])]
            ),
            True,
        ),
    ],
)
def test_items_with_many_logprobs_are_known(item: object, many: bool) -> None:
    assert has_many_logprobs(item) == many
