"""The tokens of several completions, whose outputs are not made, go as one item a turn."""

from __future__ import annotations

import asyncio

import pytest

from tests.python.support.request_states import Engine, State, begun, end, made
from tests.python.support.streams import Places, wait_turns

pytestmark = pytest.mark.usefixtures("known")


async def test_the_tokens_of_a_turn_are_one_item() -> None:
    engine, sink = Engine(3, stats="metrics"), Places()
    request = await begun(engine, sink)
    for turn in range(1, 3):
        for state in engine.states:
            state.bring(turn)
        assert len(sink.items) == turn - 1  # until the turn ends
        assert sink.places == 999 - turn
        await wait_turns()
    assert sink.items == [b"0:b1 1:b1 2:b1", b"0:c2 1:c2 2:c2"]
    assert request.encoder.seen == ["metrics"] * 3
    assert made(engine) == 0
    await end(engine, request)
    assert sink.items[2:] == [b"2:9"]


async def test_the_metrics_are_those_of_the_first() -> None:
    engine, sink = Engine(2), Places()
    request = await begun(engine, sink)
    for index, state in enumerate(engine.states):
        state.stats = index
    for state in reversed(engine.states):
        state.bring(1)
    await wait_turns()
    engine.states[0].bring(2)
    await wait_turns()
    assert request.encoder.seen[1:] == [1, 0]
    assert sink.items == [b"1:b1 0:b1", b"0:c2"]
    await end(engine, request)


async def test_a_second_token_of_a_completion_is_another_item() -> None:
    engine, sink = Engine(2), Places()
    request = await begun(engine, sink)
    for token in (1, 2):
        for state in engine.states:
            state.bring(token)
    assert sink.items == [b"0:b1 1:b1"]
    await wait_turns()
    assert sink.items == [b"0:b1 1:b1", b"0:c2 1:c2"]
    assert sink.places == 997
    await end(engine, request)


async def test_made_outputs_and_tokens_of_a_turn_stay_in_order() -> None:
    engine, sink = Engine(2), Places()
    request = await begun(engine, sink)
    first, second = engine.states
    first.bring(1)
    second.bring(2, kv_transfer_params={"a": 1})
    first.bring(2)
    second.bring(3)
    await wait_turns()
    assert sink.items == [b"0:b1", b"1:23 0:2"]
    assert made(engine) == 3
    await end(engine, request)


async def test_the_last_output_overtakes_neither_made_outputs_nor_tokens_of_its_turn() -> None:
    engine, sink = Engine(3), Places()
    request = await begun(engine, sink)
    engine.states[1].bring(2, kv_transfer_params={"a": 1})
    engine.states[0].bring(1)
    await end(engine, request)
    assert sink.items == [b"1:2 0:1 2:9"]
    assert sink.places == 999 - 1


async def test_a_completion_that_ends_goes_beside_the_tokens_of_others() -> None:
    engine, sink = Engine(4), Places()
    request = await begun(engine, sink)
    request.encoder.joining = True
    first, second, third, fourth = engine.states
    first.bring(1)
    second.bring(2, finish_reason="length")
    third.bring(3)  # Made: what is not plain has come before it.
    fourth.bring(4)
    await wait_turns()
    assert sink.items == [b"0:b1 1:2 2:3 3:4"]
    assert sink.places == 998
    assert made(engine) == 3
    for state in (first, third, fourth):
        state.bring(5)
    await wait_turns()
    assert sink.items[1:] == [b"0:5 2:5 3:5"]
    await end(engine, request)


async def test_a_completion_that_ends_when_it_is_there_already_is_another_item() -> None:
    engine, sink = Engine(3), Places()
    request = await begun(engine, sink)
    request.encoder.joining = True
    first, second, _ = engine.states
    first.bring(1)
    second.bring(2)
    second.bring(3, finish_reason="length")
    assert sink.items == [b"0:b1 1:c2"]
    await wait_turns()
    assert sink.items[1:] == [b"1:3"]
    await end(engine, request)


async def test_a_completion_that_cannot_be_put_beside_others_fails_its_call() -> None:
    engine, sink = Engine(3), Places()
    request = await begun(engine, sink)
    request.encoder.joining = True
    engine.states[0].bring(1)
    request.encoder.refusing = True
    engine.states[1].bring(2, finish_reason="length")
    request.encoder.refusing = False
    with pytest.raises(ValueError, match="cannot"):
        await request.task
    await wait_turns()
    assert sink.outcomes.count("end") == 0


@pytest.mark.parametrize("finish", [False, True])
async def test_nothing_overtakes_tokens_that_were_taken(finish: bool) -> None:
    engine, sink = Engine(2), Places()
    request = await begun(engine, sink)
    engine.states[0].bring(1)
    if finish:
        engine.states[1].bring(2, finish_reason="all")
    else:
        request.collector.put(RuntimeError("dead"))
    assert sink.items == [b"0:b1"]
    await asyncio.wait([request.task])
    assert sink.items == ([b"0:b1", b"1:2"] if finish else [b"0:b1"])
    assert (request.task.exception() is None) == finish
    await wait_turns()
    assert len(sink.items) == (2 if finish else 1)


async def test_a_turn_takes_one_place_and_without_it_is_merged_by_the_collector() -> None:
    engine, sink = Engine(2), Places(2)
    request = await begun(engine, sink)
    for token in range(1, 4):
        for state in engine.states:
            state.bring(token)
        await wait_turns()
    assert sink.items == [b"0:b1 1:b1"]
    assert made(engine) == 4
    sink.give(10)
    await wait_turns()
    assert sink.items[1:] == [b"0:2 1:2", b"0:3 1:3"]
    for state in engine.states:
        state.bring(4)
    await wait_turns()
    assert sink.items[3:] == [b"0:e4 1:e4"]
    assert made(engine) == 4
    await end(engine, request)


async def test_the_end_of_a_call_drops_tokens_that_were_taken() -> None:
    engine, sink = Engine(2), Places()
    request = await begun(engine, sink)
    request.task.cancel()
    engine.states[0].bring(1)
    with pytest.raises(asyncio.CancelledError):
        await request.task
    await wait_turns()
    assert sink.replies == []
    assert vars(engine.states[0]).keys() == vars(State(None)).keys()


@pytest.mark.parametrize("after", [(), (2,), (2, 3)], ids=["nothing", "a token", "an output"])
async def test_taken_tokens_that_cannot_be_encoded_fail_their_call(after: tuple[int, ...]) -> None:
    """Nothing is sent after what is missing, not even what could be."""
    engine, sink = Engine(2), Places()
    request = await begun(engine, sink)
    engine.states[0].bring(1)
    request.encoder.failing = True
    if after:
        engine.states[0].bring(*after)  # Has the token before it sent, which fails.
        request.encoder.failing = False
    with pytest.raises(ValueError, match="cannot"):
        await request.task
    await wait_turns()
    assert sink.items == []
    assert not any("make_request_output" in vars(state) for state in engine.states)
