"""Any turns of an engine, with any credit: what is received is what vLLM yields."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vllm.tokenizers import get_tokenizer

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.engine_outputs import BothWays, Step

COMPLETIONS = 3

#: Bytes, whole words and a special token.
TOKENS = st.integers(3, 258) | st.integers(259, 300) | st.just(2)

#: What a step brings of one completion; nearly always a token.
BROUGHT = st.sampled_from([*[1] * 12, 0, 2, 3]).flatmap(lambda n: st.tuples(*[TOKENS] * n))

TURN = st.lists(
    st.tuples(
        st.integers(0, COMPLETIONS - 1),
        BROUGHT,
        st.sampled_from([*[None] * 38, "LENGTH", "STOP"]),
        st.sampled_from([*[None] * 19, {"a": 1}]),
    ),
    unique_by=lambda step: step[0],
    min_size=1,
    max_size=COMPLETIONS,
)

PARAMS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["DELTA", "CUMULATIVE"]),
        "n": st.sampled_from([1, COMPLETIONS]),
        "log_stats": st.booleans(),
        "stop": st.sampled_from([None, [" two"], ["ab", "elephant"]]),
        "include_stop_str_in_output": st.booleans(),
    }
)


@pytest.fixture(scope="module")
def tokenizer(model: ScriptedModel) -> Any:
    return get_tokenizer(str(model.path))


class Turns:
    """Makes steps of what was drawn: of completions that run, the first of which say more."""

    def __init__(self, both: BothWays, cached: list[int]) -> None:
        self.both = both
        self.cached = cached

    def steps(self, drawn: list[Any]) -> list[Step]:
        processor, states = self.both.vllm.processor, self.both.vllm.states
        steps: list[Step] = []
        for index, tokens, finish, transfer in drawn:
            index %= len(states)
            if states[index].request_id not in processor.request_states:
                continue  # It has ended.
            if index in [step.index for step in steps]:
                continue
            cached = self.cached[index] if states[index].is_prefilling else None
            steps.append(Step(tokens, index, finish, cached=cached, transfer=transfer))
        return steps

    async def end(self) -> None:
        if self.both.vllm.processor.request_states:
            await self.both.abort()
        self.both.check_ended()


@settings(max_examples=150)
@given(
    params=PARAMS,
    turns=st.lists(TURN, min_size=4, max_size=12),
    cached=st.lists(st.sampled_from([0, 0, 16]), min_size=COMPLETIONS, max_size=COMPLETIONS),
)
def test_with_credit(
    tokenizer: Any, params: dict[str, Any], turns: list[list[Any]], cached: list[int]
) -> None:
    async def compare() -> None:
        both = BothWays(tokenizer, **params)
        made = Turns(both, cached)
        for drawn in turns:
            if steps := made.steps(drawn):
                await both.equal_turn(*steps)
        await made.end()

    asyncio.run(compare())


@settings(max_examples=100)
@given(
    params=PARAMS,
    turns=st.lists(st.tuples(TURN, st.sampled_from([0, 0, 0, 1, 3])), max_size=16),
    places=st.integers(0, 4),
)
def test_with_any_credit(
    tokenizer: Any, params: dict[str, Any], turns: list[tuple[list[Any], int]], places: int
) -> None:
    """Put together, because how outputs are merged depends on when credit comes."""

    async def compare() -> None:
        both = BothWays(tokenizer, places=places, **params)
        made = Turns(both, [0] * COMPLETIONS)
        for drawn, more in turns:
            if steps := made.steps(drawn):
                await both.turn(*steps)
            both.sink.give(more)
        both.sink.give(1000)
        await both.settle()
        await made.end()
        ours, theirs = (both.merged(items)["outputs"] for items in (both.received, both.yielded))
        assert sorted(ours, key=index_of) == sorted(theirs, key=index_of)
        assert len(both.received) <= len(both.yielded) * len(both.vllm.states)

    asyncio.run(compare())


def index_of(output: dict[str, Any]) -> int:
    return int(output["index"])
