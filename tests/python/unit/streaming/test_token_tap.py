"""After a plain output the next ones are not made; all that may differ from it still are.

Of one completion here, and what holds of any number; ``test_token_tap_several`` has the rest.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker.exceptions import Unsupported
from python_worker.wire import server_frames
from tests.python.support.request_states import (
    Detokenizer,
    Engine,
    Kind,
    Logprobs,
    Processor,
    State,
    begun,
    end,
    made,
)
from tests.python.support.streams import Places, Request, wait_turns

pytestmark = pytest.mark.usefixtures("known")


async def test_a_token_is_sent_without_an_output(known: list[tuple[str, type]]) -> None:
    engine, sink = Engine(1, stats="metrics"), Places()
    request = await begun(engine, sink)
    engine.states[0].bring(1)
    engine.states[0].bring(2)
    assert sink.items == [b"0:b1", b"0:c2"]
    assert made(engine) == 0
    assert request.encoder.seen == ["metrics"] * 3
    assert known == [
        ("processor", Processor),
        ("state", State),
        ("detokenizer", Detokenizer),
        ("logprobs", Logprobs),
    ]
    assert sink.places == 997
    await end(engine, request)
    assert sink.items[2:] == [b"0:9"]
    assert request.collector.kept == 1


async def test_all_text_and_all_ids_where_the_output_has_them() -> None:
    engine, sink = Engine(1, output_kind=Kind("CUMULATIVE")), Places()
    request = await begun(engine, sink)
    engine.states[0].bring(1)
    engine.states[0].bring(2)
    assert sink.items == [b"0:ab01", b"0:abc012"]
    assert made(engine) == 0
    await end(engine, request)


ORDINARY: dict[str, dict[str, Any]] = {
    "a reason to finish": {"finish_reason": "stop"},
    "kv transfer": {"kv_transfer_params": {"a": 1}},
    "ec transfer": {"ec_transfer_params": {"a": 1}},
    "a pooled tensor": {"pooling_output": object()},
}


@pytest.mark.parametrize("step", ORDINARY.values(), ids=ORDINARY)
async def test_what_is_not_plain_is_made(step: dict[str, Any]) -> None:
    engine, sink = Engine(1), Places()
    request = await begun(engine, sink)
    others = dict(step)
    tokens = others.pop("tokens", (1,))
    engine.states[0].bring(*tokens, **others)
    assert made(engine) == 1
    assert sink.items == [f"0:{''.join(map(str, tokens))}".encode()]
    engine.states[0].bring(3)
    assert made(engine) == 1
    assert sink.items[1:] == [b"0:d3"]
    await end(engine, request)


async def test_all_arguments_of_an_output_that_is_made_are_passed_on() -> None:
    engine, sink = Engine(1), Places()
    state, seen = engine.states[0], []
    ordinary = state.make_request_output

    def make(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return ordinary(*args, **kwargs)

    state.make_request_output = make  # type: ignore[method-assign]
    request = await begun(engine, sink)
    seen.clear()
    state.make_request_output(
        new_token_ids=[1, 2],
        pooling_output=None,
        finish_reason=None,
        stop_reason=3,
        kv_transfer_params={"k": 1},
        ec_transfer_params={"e": 1},
        error=None,
    )
    assert seen == [(([1, 2], None, None, 3, {"k": 1}, {"e": 1}), {"error": None})]
    request.task.cancel()
    await asyncio.wait([request.task])


@pytest.mark.parametrize("place", ["sampling mask", "prompt scores"])
async def test_what_has_come_since_is_asked_for_with_each(place: str) -> None:
    engine, sink = Engine(1), Places()
    request = await begun(engine, sink)
    state = engine.states[0]
    if place == "sampling mask":
        state.sampling_mask_chunks.append(object())
    else:
        state.logprobs_processor.prompt_token_id_logprobs = object()
    state.bring(1)
    assert made(engine) == 1
    state.sampling_mask_chunks.clear()
    state.logprobs_processor.prompt_token_id_logprobs = None
    state.bring(2)
    assert made(engine) == 1
    await end(engine, request)


NEVER: dict[str, dict[str, Any]] = {
    "streamed input": {"streaming_input": True},
    "embeddings of a prompt": {"prompt_token_ids": None},
    "logprobs": {"logprobs_processor": Logprobs(num_logprobs=0)},
    "prompt logprobs": {"logprobs_processor": Logprobs(num_prompt_logprobs=0)},
    "the last alone": {"output_kind": Kind("FINAL_ONLY")},
    "no detokenizer": {"detokenizer": None},
}


@pytest.mark.parametrize("fields", NEVER.values(), ids=NEVER)
async def test_states_whose_outputs_are_always_made(fields: dict[str, Any]) -> None:
    engine, sink = Engine(1, **fields), Places()
    request = await begun(engine, sink)
    assert "make_request_output" not in vars(engine.states[0])
    engine.states[0].bring(1)
    assert made(engine) == 1
    assert sink.items == [b"0:1"]
    await end(engine, request)


async def test_an_interval_gathers_tokens_as_the_state_does() -> None:
    engine, sink = Engine(1, stream_interval=3), Places()
    request = await begun(engine, sink)
    for token in range(1, 9):
        engine.states[0].bring(token)
    assert sink.items == [b"0:bcd123", b"0:efg456"]
    assert made(engine) == 0
    assert sink.places == 997
    await end(engine, request)
    assert sink.items[2:] == [b"0:789"]


async def test_an_interval_without_credit_leaves_the_output_to_the_state() -> None:
    engine, sink = Engine(1, stream_interval=2), Places()
    request = await begun(engine, sink)
    sink.places = 0
    engine.states[0].bring(1)
    engine.states[0].bring(2)
    assert made(engine) == 1
    assert engine.states[0].sent_tokens_offset == 3
    sink.places = 5
    request.task.cancel()
    await asyncio.wait([request.task])


async def test_an_interval_holds_no_cumulative_output_back() -> None:
    engine = Engine(1, stream_interval=3, output_kind=Kind("CUMULATIVE"))
    sink = Places()
    request = await begun(engine, sink)
    engine.states[0].bring(1)
    assert sink.items == [b"0:ab01"]
    await end(engine, request)


async def test_an_output_that_was_not_plain_changes_nothing() -> None:
    engine, sink = Engine(1), Places()
    request = engine.request(sink)
    await wait_turns()
    request.encoder.odd = True
    engine.states[0].bring(1)
    assert "make_request_output" not in vars(engine.states[0])
    request.encoder.odd = False
    engine.states[0].bring(3)
    assert made(engine) == 2
    engine.states[0].bring(4)
    assert made(engine) == 2
    await end(engine, request)


async def test_after_an_output_that_was_not_plain_the_next_is_made() -> None:
    engine, sink = Engine(1), Places()
    request = await begun(engine, sink)
    request.encoder.odd = True
    engine.states[0].bring(1, kv_transfer_params={"a": 1})
    request.encoder.odd = False
    engine.states[0].bring(2)
    assert made(engine) == 2
    engine.states[0].bring(3)
    assert made(engine) == 2
    assert sink.items == [b"0:1", b"0:2", b"0:d3"]
    await end(engine, request)


async def test_without_credit_outputs_are_made_and_merged() -> None:
    engine, sink = Engine(1), Places(2)
    request = await begun(engine, sink)
    for token in range(1, 5):
        engine.states[0].bring(token)
    assert sink.items == [b"0:b1"]
    assert made(engine) == 3
    sink.give(10)
    await wait_turns()
    assert sink.items[1:] == [b"0:234"]
    engine.states[0].bring(5)
    assert sink.items[2:] == [b"0:f5"]
    assert made(engine) == 3
    await end(engine, request)


async def test_a_token_does_not_overtake_what_waits_for_its_task() -> None:
    engine, sink = Engine(1), Places(1)
    request = await begun(engine, sink)
    engine.states[0].bring(1)
    sink.places = 5
    engine.states[0].bring(2)
    assert sink.items == []
    await wait_turns()
    assert sink.items == [b"0:12"]
    await end(engine, request)


async def test_a_token_that_cannot_be_encoded_fails_its_call() -> None:
    engine, sink = Engine(1), Places()
    request = await begun(engine, sink)
    request.encoder.failing = True
    engine.states[0].bring(1)
    request.encoder.failing = False
    engine.states[0].bring(2)
    with pytest.raises(ValueError, match="cannot"):
        await request.task
    assert sink.items == []
    assert "make_request_output" not in vars(engine.states[0])


@pytest.mark.parametrize("count", [1, 2])
async def test_a_token_that_cannot_be_encoded_fails_its_call_and_not_who_brings_it(
    count: int,
) -> None:
    engine, sink = Engine(count), Places()
    request = await begun(engine, sink)
    request.encoder.refusing = True
    engine.states[0].bring(1)
    request.encoder.refusing = False
    engine.states[0].bring(2)
    with pytest.raises(ValueError, match="cannot") as caught:
        await request.task
    # vLLM says that its own error comes from ours: who walks the causes is not to go in circles.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    await wait_turns()
    assert sink.items == []


async def test_a_token_that_no_message_can_hold_fails_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, sink = Engine(1), Places()
    request = await begun(engine, sink)
    monkeypatch.setattr(server_frames, "MAX_VALUE_BYTES", 3)
    engine.states[0].bring(1)
    with pytest.raises(Unsupported, match="has 4 bytes; a message holds at most 3"):
        await request.task
    assert sink.items == []


async def test_a_cancel_leaves_a_state_as_it_was() -> None:
    engine, sink = Engine(1), Places()
    request = await begun(engine, sink)
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task
    assert vars(engine.states[0]).keys() == vars(State(None)).keys()
    engine.states[0].bring(1)
    assert sink.replies == []


async def test_an_engine_that_is_not_vllms_has_no_states() -> None:
    request = Request(Places(), engine=object())
    await wait_turns()
    request.put(1)
    request.put(2, finished=True)
    await request.task
