"""Request states that are not those of a known vLLM, or may not be used, are left alone."""

from __future__ import annotations

import pytest

from python_worker.streaming import known_sources
from python_worker.streaming.token_tap import NO_TAP, tap_of
from tests.python.support.request_states import Engine, begun, end, made
from tests.python.support.streams import Places, wait_turns


async def test_another_vllm_makes_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_sources, "unknown_method", lambda *_: "State.stats")
    engine, sink = Engine(1), Places()
    request = await begun(engine, sink)
    engine.states[0].bring(1)
    assert made(engine) == 1
    await end(engine, request)


@pytest.mark.parametrize("passes", [False, True])
@pytest.mark.parametrize("count", [1, 2])
async def test_of_the_states_of_another_vllm_nothing_is_expected(
    count: int, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have other attributes and methods: what asks for one would end vLLM's loop."""
    if passes:
        monkeypatch.setattr(known_sources, "unknown_method", lambda *_: None)
    engine, sink = Engine(count), Places()
    for state in engine.states:
        for name in ("is_prefilling", "num_cached_tokens", "detokenizer", "stream_interval"):
            del vars(state)[name]
    request = engine.request(sink)
    await wait_turns()
    for token in (1, 2):
        for index in range(count):
            request.put(token, index=index)
        await wait_turns()
    assert sink.items == [b"0:1", b"0:2"] if count == 1 else [b"0:1 1:1", b"0:2 1:2"]
    assert not any("make_request_output" in vars(state) for state in engine.states)
    request.put(3, finished=True)
    await request.task


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("count", [1, 2])
async def test_with_the_path_turned_off_every_output_is_made(count: int) -> None:
    """Those of several completions are merged all the same."""
    engine, sink = Engine(count, reason="turned off"), Places()
    request = await begun(engine, sink)
    for state in engine.states:
        state.bring(1)
    await wait_turns()
    assert made(engine) == count
    assert sink.items == [b"0:1"] if count == 1 else [b"0:1 1:1"]
    for state in engine.states[:-1]:
        state.bring(2)
    await end(engine, request)


def test_an_engine_without_a_tap_makes_outputs() -> None:
    tap = tap_of(object())
    assert (tap.path, tap.reason) == ("outputs", NO_TAP.reason)
