"""After a plain output the next ones are not made; all that may differ from it still are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker import frames, request_states
from python_worker.failures import Unsupported
from tests.python.support.streams import (
    Detokenizer,
    Engine,
    Kind,
    Logprobs,
    Places,
    Processor,
    Request,
    State,
    wait_turns,
)

KNOWN_TRULY = request_states.known


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, type]]:
    """Has the fakes pass for vLLM's; what was asked for."""
    asked: list[tuple[str, type]] = []

    def known(role: str, cls: type) -> bool:
        asked.append((role, cls))
        return True

    monkeypatch.setattr(request_states, "known", known)
    return asked


async def begun(engine: Engine, outlet: Places) -> Request:
    """A request whose completions each had a token that was plain, as any is to ``Letters``."""
    request = engine.request(outlet)
    await wait_turns()
    for state in engine.states:
        state.bring(0)
    await wait_turns()
    for state in engine.states:
        state.made = 0
    outlet.replies.clear()
    return request


async def end(engine: Engine, request: Request) -> None:
    """End it, which leaves nothing behind."""
    engine.states[-1].bring(9, finish_reason="all")
    await request.task
    assert not any("make_request_output" in vars(state) for state in engine.states)
    assert "put" not in vars(request.collector)


def made(engine: Engine) -> int:
    return sum(state.made for state in engine.states)


# --- One completion ----------------------------------------------------------


async def test_a_token_is_sent_without_an_output(known: list[tuple[str, type]]) -> None:
    engine, outlet = Engine(1, stats="metrics"), Places()
    request = await begun(engine, outlet)
    engine.states[0].bring(1)
    engine.states[0].bring(2)
    assert outlet.items == [b"0:b1", b"0:c2"]
    assert made(engine) == 0
    assert request.encoder.seen == ["metrics"] * 3
    assert known == [
        ("processor", Processor),
        ("state", State),
        ("detokenizer", Detokenizer),
        ("logprobs", Logprobs),
    ]
    assert outlet.places == 997
    await end(engine, request)
    assert outlet.items[2:] == [b"0:9"]
    assert request.collector.kept == 1


async def test_all_text_and_all_ids_where_the_output_has_them() -> None:
    engine, outlet = Engine(1, output_kind=Kind("CUMULATIVE")), Places()
    request = await begun(engine, outlet)
    engine.states[0].bring(1)
    engine.states[0].bring(2)
    assert outlet.items == [b"0:ab01", b"0:abc012"]
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
    engine, outlet = Engine(1), Places()
    request = await begun(engine, outlet)
    others = dict(step)
    tokens = others.pop("tokens", (1,))
    engine.states[0].bring(*tokens, **others)
    assert made(engine) == 1
    assert outlet.items == [f"0:{''.join(map(str, tokens))}".encode()]
    engine.states[0].bring(3)
    assert made(engine) == 1
    assert outlet.items[1:] == [b"0:d3"]
    await end(engine, request)


async def test_all_arguments_of_an_output_that_is_made_are_passed_on() -> None:
    engine, outlet = Engine(1), Places()
    state, seen = engine.states[0], []
    ordinary = state.make_request_output

    def make(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return ordinary(*args, **kwargs)

    state.make_request_output = make  # type: ignore[method-assign]
    request = await begun(engine, outlet)
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
    engine, outlet = Engine(1), Places()
    request = await begun(engine, outlet)
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
    "an interval": {"stream_interval": 2},
    "streamed input": {"streaming_input": True},
    "embeddings of a prompt": {"prompt_token_ids": None},
    "logprobs": {"logprobs_processor": Logprobs(num_logprobs=0)},
    "prompt logprobs": {"logprobs_processor": Logprobs(num_prompt_logprobs=0)},
    "the last alone": {"output_kind": Kind("FINAL_ONLY")},
    "no detokenizer": {"detokenizer": None},
}


@pytest.mark.parametrize("fields", NEVER.values(), ids=NEVER)
async def test_states_whose_outputs_are_always_made(fields: dict[str, Any]) -> None:
    engine, outlet = Engine(1, **fields), Places()
    request = await begun(engine, outlet)
    assert "make_request_output" not in vars(engine.states[0])
    engine.states[0].bring(1)
    assert made(engine) == 1
    assert outlet.items == [b"0:1"]
    await end(engine, request)


async def test_another_vllm_makes_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_states, "known", lambda *_: False)
    engine, outlet = Engine(1), Places()
    request = await begun(engine, outlet)
    engine.states[0].bring(1)
    assert made(engine) == 1
    await end(engine, request)


@pytest.mark.parametrize("passes", [False, True])
@pytest.mark.parametrize("count", [1, 2])
async def test_of_the_states_of_another_vllm_nothing_is_expected(
    count: int, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have other attributes and methods: what asks for one would end vLLM's loop."""
    if not passes:
        monkeypatch.setattr(request_states, "known", KNOWN_TRULY)
    engine, outlet = Engine(count), Places()
    for state in engine.states:
        for name in ("is_prefilling", "num_cached_tokens", "detokenizer", "stream_interval"):
            del vars(state)[name]
    request = engine.request(outlet)
    await wait_turns()
    for token in (1, 2):
        for index in range(count):
            request.put(token, index=index)
        await wait_turns()
    assert outlet.items == [b"0:1", b"0:2"] if count == 1 else [b"0:1 1:1", b"0:2 1:2"]
    assert not any("make_request_output" in vars(state) for state in engine.states)
    request.put(3, finished=True)
    await request.task


def test_what_has_no_source_is_unknown() -> None:
    assert request_states.fingerprint(len) == request_states.fingerprint(None) == ""
    assert not KNOWN_TRULY("state", object)


async def test_an_output_that_was_not_plain_changes_nothing() -> None:
    engine, outlet = Engine(1), Places()
    request = engine.request(outlet)
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


async def test_without_credit_outputs_are_made_and_merged() -> None:
    engine, outlet = Engine(1), Places(2)
    request = await begun(engine, outlet)
    for token in range(1, 5):
        engine.states[0].bring(token)
    assert outlet.items == [b"0:b1"]
    assert made(engine) == 3
    outlet.give(10)
    await wait_turns()
    assert outlet.items[1:] == [b"0:234"]
    engine.states[0].bring(5)
    assert outlet.items[2:] == [b"0:f5"]
    assert made(engine) == 3
    await end(engine, request)


async def test_a_token_does_not_overtake_what_waits_for_its_task() -> None:
    engine, outlet = Engine(1), Places(1)
    request = await begun(engine, outlet)
    engine.states[0].bring(1)
    outlet.places = 5
    engine.states[0].bring(2)
    assert outlet.items == []
    await wait_turns()
    assert outlet.items == [b"0:12"]
    await end(engine, request)


async def test_a_token_that_cannot_be_encoded_fails_its_call() -> None:
    engine, outlet = Engine(1), Places()
    request = await begun(engine, outlet)
    request.encoder.failing = True
    engine.states[0].bring(1)
    request.encoder.failing = False
    engine.states[0].bring(2)
    with pytest.raises(ValueError, match="cannot"):
        await request.task
    assert outlet.items == []
    assert "make_request_output" not in vars(engine.states[0])


async def test_a_token_that_no_message_can_hold_fails_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, outlet = Engine(1), Places()
    request = await begun(engine, outlet)
    monkeypatch.setattr(frames, "MAX_VALUE_BYTES", 3)
    engine.states[0].bring(1)
    with pytest.raises(Unsupported, match="has 4 bytes; a message holds at most 3"):
        await request.task
    assert outlet.items == []


async def test_a_cancel_leaves_a_state_as_it_was() -> None:
    engine, outlet = Engine(1), Places()
    request = await begun(engine, outlet)
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task
    assert vars(engine.states[0]).keys() == vars(State(None)).keys()
    engine.states[0].bring(1)
    assert outlet.replies == []


async def test_an_engine_that_is_not_vllms_has_no_states() -> None:
    request = Request(Places(), engine=object())
    await wait_turns()
    request.put(1)
    request.put(2, finished=True)
    await request.task


# --- Several completions -----------------------------------------------------


async def test_the_tokens_of_a_turn_are_one_item() -> None:
    engine, outlet = Engine(3, stats="metrics"), Places()
    request = await begun(engine, outlet)
    for turn in range(1, 3):
        for state in engine.states:
            state.bring(turn)
        assert len(outlet.items) == turn - 1  # until the turn ends
        assert outlet.places == 999 - turn
        await wait_turns()
    assert outlet.items == [b"0:b1 1:b1 2:b1", b"0:c2 1:c2 2:c2"]
    assert request.encoder.seen == ["metrics"] * 3
    assert made(engine) == 0
    await end(engine, request)
    assert outlet.items[2:] == [b"2:9"]


async def test_the_metrics_are_those_of_the_first() -> None:
    engine, outlet = Engine(2), Places()
    request = await begun(engine, outlet)
    for index, state in enumerate(engine.states):
        state.stats = index
    for state in reversed(engine.states):
        state.bring(1)
    await wait_turns()
    engine.states[0].bring(2)
    await wait_turns()
    assert request.encoder.seen[1:] == [1, 0]
    assert outlet.items == [b"1:b1 0:b1", b"0:c2"]
    await end(engine, request)


async def test_a_second_token_of_a_completion_is_another_item() -> None:
    engine, outlet = Engine(2), Places()
    request = await begun(engine, outlet)
    for token in (1, 2):
        for state in engine.states:
            state.bring(token)
    assert outlet.items == [b"0:b1 1:b1"]
    await wait_turns()
    assert outlet.items == [b"0:b1 1:b1", b"0:c2 1:c2"]
    assert outlet.places == 997
    await end(engine, request)


async def test_made_outputs_and_tokens_of_a_turn_stay_in_order() -> None:
    engine, outlet = Engine(2), Places()
    request = await begun(engine, outlet)
    first, second = engine.states
    first.bring(1)
    second.bring(2, kv_transfer_params={"a": 1})
    first.bring(2)
    second.bring(3)
    await wait_turns()
    assert outlet.items == [b"0:b1", b"1:2", b"0:c2 1:d3"]
    assert made(engine) == 1
    await end(engine, request)


async def test_the_last_output_overtakes_neither_made_outputs_nor_tokens_of_its_turn() -> None:
    engine, outlet = Engine(3), Places()
    request = await begun(engine, outlet)
    engine.states[1].bring(2, kv_transfer_params={"a": 1})
    engine.states[0].bring(1)
    await end(engine, request)
    assert outlet.items == [b"1:2", b"0:b1", b"2:9"]


async def test_after_an_output_that_was_not_plain_the_next_is_made() -> None:
    engine, outlet = Engine(1), Places()
    request = await begun(engine, outlet)
    request.encoder.odd = True
    engine.states[0].bring(1, kv_transfer_params={"a": 1})
    request.encoder.odd = False
    engine.states[0].bring(2)
    assert made(engine) == 2
    engine.states[0].bring(3)
    assert made(engine) == 2
    assert outlet.items == [b"0:1", b"0:2", b"0:d3"]
    await end(engine, request)


@pytest.mark.parametrize("finish", [False, True])
async def test_nothing_overtakes_tokens_that_were_taken(finish: bool) -> None:
    engine, outlet = Engine(2), Places()
    request = await begun(engine, outlet)
    engine.states[0].bring(1)
    if finish:
        engine.states[1].bring(2, finish_reason="all")
    else:
        request.collector.put(RuntimeError("dead"))
    assert outlet.items == [b"0:b1"]
    await asyncio.wait([request.task])
    assert outlet.items == ([b"0:b1", b"1:2"] if finish else [b"0:b1"])
    assert (request.task.exception() is None) == finish
    await wait_turns()
    assert len(outlet.items) == (2 if finish else 1)


async def test_a_turn_takes_one_place_and_without_it_is_merged_by_the_collector() -> None:
    engine, outlet = Engine(2), Places(2)
    request = await begun(engine, outlet)
    for token in range(1, 4):
        for state in engine.states:
            state.bring(token)
        await wait_turns()
    assert outlet.items == [b"0:b1 1:b1"]
    assert made(engine) == 4
    outlet.give(10)
    await wait_turns()
    assert outlet.items[1:] == [b"0:2 1:2", b"0:3 1:3"]
    for state in engine.states:
        state.bring(4)
    await wait_turns()
    assert outlet.items[3:] == [b"0:e4 1:e4"]
    assert made(engine) == 4
    await end(engine, request)


async def test_the_end_of_a_call_drops_tokens_that_were_taken() -> None:
    engine, outlet = Engine(2), Places()
    request = await begun(engine, outlet)
    request.task.cancel()
    engine.states[0].bring(1)
    with pytest.raises(asyncio.CancelledError):
        await request.task
    await wait_turns()
    assert outlet.replies == []
    assert vars(engine.states[0]).keys() == vars(State(None)).keys()


@pytest.mark.parametrize("after", [(), (2,), (2, 3)], ids=["nothing", "a token", "an output"])
async def test_taken_tokens_that_cannot_be_encoded_fail_their_call(after: tuple[int, ...]) -> None:
    """Nothing is sent after what is missing, not even what could be."""
    engine, outlet = Engine(2), Places()
    request = await begun(engine, outlet)
    engine.states[0].bring(1)
    request.encoder.failing = True
    if after:
        engine.states[0].bring(*after)  # Has the token before it sent, which fails.
        request.encoder.failing = False
    with pytest.raises(ValueError, match="cannot"):
        await request.task
    await wait_turns()
    assert outlet.items == []
    assert not any("make_request_output" in vars(state) for state in engine.states)


@pytest.mark.parametrize("count", [1, 2])
async def test_a_token_that_cannot_be_encoded_fails_its_call_and_not_who_brings_it(
    count: int,
) -> None:
    engine, outlet = Engine(count), Places()
    request = await begun(engine, outlet)
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
    assert outlet.items == []
