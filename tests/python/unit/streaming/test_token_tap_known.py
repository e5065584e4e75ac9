"""Only of vLLM's own states is it known how they make outputs: those of others are left alone."""

from __future__ import annotations

import pytest

from python_worker.streaming import token_tap
from tests.python.support.request_states import Engine, begun, end, made
from tests.python.support.streams import Places, wait_turns


async def test_another_vllm_makes_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_tap, "known", lambda *_: False)
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
    if passes:
        monkeypatch.setattr(token_tap, "known", lambda *_: True)
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
    assert token_tap.fingerprint(len) == token_tap.fingerprint(None) == ""
    assert not token_tap.known("state", object)
