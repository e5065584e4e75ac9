"""What a client puts together equals what vLLM yields, though most outputs are not made.

vLLM's own output processor with a real tokenizer, and no engine. Of every case it is also said
whether outputs were made: a comparison of what was made with what was made would prove nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from vllm.tokenizers import get_tokenizer
from vllm.v1.engine import detokenizer

from python_worker.testing.models.scripted_model import EOS_ID, ScriptedModel
from tests.python.support.engine_outputs import ID, BothWays, Step

#: Every character of it outside ASCII comes in parts, a token each.
TEXT = " one Z\u00fcrich \u6771\u4eac \U0001f44b K\u00f6ln two"

Begin = Callable[..., BothWays]


@pytest.fixture(scope="module")
def tokenizer(model: ScriptedModel) -> Any:
    return get_tokenizer(str(model.path))


@pytest.fixture(scope="module")
def tokens(model: ScriptedModel) -> list[int]:
    tokens = model.encode(TEXT)
    assert len(tokens) > 20
    return tokens


@pytest.fixture
def kind() -> str:
    """The output kind of a test that is not parametrized by it."""
    return "DELTA"


@pytest.fixture
def n() -> int:
    """How many completions a test has that is not parametrized by it."""
    return 1


@pytest.fixture
def begin(tokenizer: Any, kind: str, n: int) -> Begin:
    """Begins a request of the test's kind and number of completions, unless told others."""
    return partial(BothWays, tokenizer, kind=kind, n=n)


async def run(both: BothWays, tokens: list[int], **others: Any) -> None:
    """Bring a token of each completion a turn, and end them one after the other."""
    indexes = list(both.ours.states)
    for turn, token in enumerate(tokens):
        # The ends are some turns apart, the first completion's first.
        ending = [i for i in indexes if turn == len(tokens) - 1 - 3 * (len(indexes) - 1 - i)]
        going_on = [i for i in indexes if turn < len(tokens) - 1 - 3 * (len(indexes) - 1 - i)]
        steps = [Step((token,), index, **others) for index in going_on]
        steps += [Step((token,), index, finish="LENGTH", **others) for index in ending]
        await both.equal_turn(*steps)
    both.check_ended()


KINDS = pytest.mark.parametrize("kind", ["DELTA", "CUMULATIVE", "FINAL_ONLY"])
STREAMED = pytest.mark.parametrize("kind", ["DELTA", "CUMULATIVE"])
COUNTS = pytest.mark.parametrize("n", [1, 3])

#: Parameters under which a token is all that is new.
QUICK: dict[str, dict[str, Any]] = {
    "no statistics": {},
    "statistics": {"log_stats": True},
    "a stop string that is held back": {"stop": ["elephant"]},
    "a stop string that is not": {"stop": ["elephant"], "include_stop_str_in_output": True},
    "no text": {"detokenize": False},
}

#: Parameters under which every output is made.
SLOW: dict[str, dict[str, Any]] = {
    "logprobs": {"logprobs": 1},
    "flat logprobs": {"logprobs": 1, "flat_logprobs": True},
    "prompt logprobs": {"prompt_logprobs": 1},
}


@STREAMED
@COUNTS
@pytest.mark.parametrize("params", QUICK.values(), ids=QUICK)
async def test_a_token_a_turn(
    begin: Begin, params: dict[str, Any], n: int, tokens: list[int]
) -> None:
    both = begin(**params)
    await run(both, tokens)
    for index, state in both.ours.states.items():
        assert both.vllm.made[index] == state.detokenizer.num_output_tokens()
        # The first, by which it is known, one that is plain, and the last; and one where another
        # completion has ended in the turn.
        assert both.ours.made[index] <= 5
    if n == 1:
        assert both.ours.made[0] == 3


@STREAMED
@COUNTS
async def test_several_tokens_an_output(begin: Begin, n: int, tokens: list[int]) -> None:
    both = begin(stream_interval=4, log_stats=True)
    await run(both, tokens)
    assert len(both.ours.states) == n
    for index in both.ours.states:
        assert both.ours.made[index] <= 5 < both.vllm.made[index]


@STREAMED
@COUNTS
@pytest.mark.parametrize("params", SLOW.values(), ids=SLOW)
async def test_what_is_always_made(
    begin: Begin, params: dict[str, Any], n: int, tokens: list[int]
) -> None:
    both = begin(**params)
    await run(both, tokens, logprobs="logprobs" in params)
    assert both.ours.made == both.vllm.made
    assert both.ours.made.total() > 3 * n


@COUNTS
async def test_the_last_alone(begin: Begin, tokens: list[int]) -> None:
    both = begin(kind="FINAL_ONLY", log_stats=True)
    await run(both, tokens)
    assert len(both.received) == 1
    assert both.ours.made == both.vllm.made


@STREAMED
async def test_a_tokenizer_in_python(
    begin: Begin, tokens: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detokenizer, "uses_fast_detokenizer", lambda _: False)
    both = begin()
    assert type(both.ours.states[0].detokenizer) is detokenizer.SlowIncrementalDetokenizer
    await run(both, tokens)
    assert both.ours.made[0] == 3
    assert "\U0001f44b" in "".join(item["outputs"][0]["text"] for item in both.received)


@STREAMED
@COUNTS
@pytest.mark.parametrize("include", [False, True])
async def test_a_stop_string_ends_it(
    begin: Begin, include: bool, n: int, model: ScriptedModel
) -> None:
    """Which the detokenizer finds, and EngineCore does not know."""
    both = begin(stop=["r\u00fcck"], include_stop_str_in_output=include)
    await both.equal_turns(model.encode("zur\u00fcc"))
    assert both.ours.made.total() < both.vllm.made.total()
    for index in range(n):
        await both.equal_turn(Step((model.encode("k")[0],), index))
    both.check_ended()
    last = both.received[-1]["outputs"][0]
    assert last["stop_reason"] == "r\u00fcck"
    assert last["text"].endswith("k") == include


@STREAMED
@COUNTS
async def test_a_token_ends_it(begin: Begin, tokens: list[int]) -> None:
    for stop_reason in (None, EOS_ID):
        both = begin(log_stats=True)
        await both.equal_turns(tokens[:5])
        await both.equal_turn(*both.each(EOS_ID, finish="STOP", stop_reason=stop_reason))
        both.check_ended()


@STREAMED
@COUNTS
async def test_an_abort_ends_it(begin: Begin, tokens: list[int]) -> None:
    both = begin(log_stats=True)
    await both.equal_turns(tokens[:5])
    before = len(both.received)
    await both.abort()
    assert both.merged(both.received[before:]) == both.yielded[-1]
    assert both.received[-1]["outputs"][0]["finish_reason"] == "abort"
    both.check_ended()


@COUNTS
async def test_a_client_that_leaves(begin: Begin, n: int, tokens: list[int]) -> None:
    both = begin()
    await both.equal_turns(tokens[:5])
    received = len(both.received)
    both.task.cancel()
    await asyncio.wait([both.task])
    await both.settle()
    both.vllm.processor.abort_requests([ID], internal=True)
    both.check_left_as_it_was()
    assert both.task.cancelled()
    assert len(both.aborted) == n
    assert len(both.received) == received


@STREAMED
async def test_completions_that_end_in_one_step_are_one_output(
    begin: Begin, tokens: list[int]
) -> None:
    both = begin(n=3)
    await both.equal_turns(tokens[:4])
    yielded, received = await both.turn(*both.each(tokens[4], finish="LENGTH"))
    assert received == yielded
    assert [len(item["outputs"]) for item in received] == [3]
    both.check_ended()


@STREAMED
@COUNTS
async def test_several_tokens_or_none_in_a_step(begin: Begin, tokens: list[int]) -> None:
    both = begin(log_stats=True)
    for start, count in ((0, 1), (1, 1), (2, 1), (3, 3), (6, 0), (6, 1), (7, 2), (9, 1), (10, 1)):
        made = both.ours.made.copy()
        await both.equal_turn(*both.each(*tokens[start : start + count]))
        if start > 2:
            assert both.ours.made == made
    await both.equal_turn(*both.each(finish="LENGTH"))
    both.check_ended()


@STREAMED
async def test_several_steps_in_a_turn(begin: Begin, tokens: list[int]) -> None:
    """Of several completions too, though EngineCore brings one token of each in a step."""
    both = begin()
    for start in range(0, 12, 3):
        await both.equal_turn(*[Step((token,)) for token in tokens[start : start + 3]])
    assert both.ours.made[0] == 2
    await both.abort()
    both.check_ended()

    several = begin(n=2, log_stats=True)
    for part in (tokens[:1], tokens[1:2], tokens[2:5], tokens[5:8], tokens[8:11]):
        await several.equal_turn(*[step for token in part for step in several.each(token)])
    assert several.ours.made.total() < several.vllm.made.total() / 2
    await several.abort()
    several.check_ended()


@STREAMED
@COUNTS
async def test_completions_that_wait_for_their_turn(
    begin: Begin, n: int, tokens: list[int]
) -> None:
    """Not every step brings tokens of each: some are not scheduled, or preempted."""
    both = begin(log_stats=True)
    for turn, token in enumerate(tokens):
        which = [index for index in range(n) if turn < 3 or (turn + index) % 3]
        await both.equal_turn(*[Step((token,), index) for index in reversed(which)])
    assert both.ours.made.total() < both.vllm.made.total() / 2
    await both.abort()
    both.check_ended()


@STREAMED
@COUNTS
async def test_versions_of_the_weights(begin: Begin, tokens: list[int]) -> None:
    both = begin()
    for turn, token in enumerate(tokens[:8]):
        await both.equal_turn(*both.each(token), weight_version="v1" if turn < 5 else "v2")
    await both.equal_turn(*both.each(tokens[8], finish="LENGTH"), weight_version="v2")
    both.check_ended()
    spans = both.received[-1]["outputs"][0]["weight_versions"]
    assert [(span["start"], span["end"]) for span in spans] == [(0, 5), (5, 9)]
    assert both.ours.made.total() < both.vllm.made.total()


@STREAMED
@COUNTS
async def test_sampling_masks(begin: Begin, tokens: list[int]) -> None:
    both = begin()
    for token in tokens[:6]:
        await both.equal_turn(*both.each(token, masks=((token, 7),)))
    await both.equal_turn(*both.each(5, 6, finish="LENGTH", masks=((5, 7), (6,))))
    both.check_ended()
    assert both.ours.made == both.vllm.made


@STREAMED
async def test_masks_that_are_all_the_same_and_end(begin: Begin, tokens: list[int]) -> None:
    both = begin()
    for token in tokens[:4]:
        await both.equal_turn(Step((token,), masks=((7, 8),)))
    await both.equal_turns(tokens[4:8])
    await both.abort()
    both.check_ended()


@STREAMED
@COUNTS
async def test_parameters_of_a_connector(begin: Begin, tokens: list[int]) -> None:
    both = begin()
    for turn, token in enumerate(tokens[:8]):
        transfer = {"turn": turn} if turn in (1, 5) else None
        await both.equal_turn(*both.each(token, transfer=transfer))
    await both.abort()
    both.check_ended()
    assert both.ours.made.total() < both.vllm.made.total()


@STREAMED
async def test_completions_that_found_other_parts_of_the_prompt_cached(
    begin: Begin, tokens: list[int]
) -> None:
    """An item has the number of the first in its turn, which may be any that still runs."""
    both = begin(n=2)
    await both.equal_turn(Step((tokens[0],), 0, cached=0), Step((tokens[0],), 1, cached=16))
    await both.equal_turns(tokens[1:4])
    for token in tokens[4:6]:
        await both.equal_turn(Step((token,), 1))
    await both.abort()
    both.check_ended()


@KINDS
@COUNTS
async def test_credit_that_runs_out_and_comes_back(
    begin: Begin, kind: str, tokens: list[int]
) -> None:
    """What was merged meanwhile is less items, and the same text."""
    both = begin(places=5)
    for turn, token in enumerate(tokens):
        await both.turn(*both.each(token))
        if turn == 12:
            assert len(both.received) == (0 if kind == "FINAL_ONLY" else 5)
            both.sink.give(1000)
    await both.turn(*both.each(finish="LENGTH"))
    both.check_ended()
    ours, theirs = both.merged(both.received), both.merged(both.yielded)
    assert ours["outputs"] == theirs["outputs"]
    if kind != "FINAL_ONLY":
        assert len(both.yielded) > len(both.received) > 12
        # All that found no credit was made, and nothing else but the first two and the last.
        assert both.vllm.made[0] > both.ours.made[0] >= 8
