"""What a client puts together equals what vLLM yields, though most outputs are not made.

vLLM's own output processor with a real tokenizer, and no engine. Of every case it is also said
whether outputs were made: a comparison of what was made with what was made would prove nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from vllm.tokenizers import get_tokenizer
from vllm.v1.engine import detokenizer

from python_worker.testing.scripted_model import EOS_ID, ScriptedModel
from tests.python.support.engine_outputs import ID, BothWays, Step

#: Every character of it outside ASCII comes in parts, a token each.
TEXT = " one Z\u00fcrich \u6771\u4eac \U0001f44b K\u00f6ln two"


@pytest.fixture(scope="module")
def tokenizer(model: ScriptedModel) -> Any:
    return get_tokenizer(str(model.path))


@pytest.fixture(scope="module")
def tokens(model: ScriptedModel) -> list[int]:
    tokens = model.encode(TEXT)
    assert len(tokens) > 20
    return tokens


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
    "an interval": {"stream_interval": 4, "log_stats": True},
}


@STREAMED
@COUNTS
@pytest.mark.parametrize("params", QUICK.values(), ids=QUICK)
async def test_a_token_a_turn(
    params: dict[str, Any], n: int, kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    both = BothWays(tokenizer, kind=kind, n=n, **params)
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
@pytest.mark.parametrize("params", SLOW.values(), ids=SLOW)
async def test_what_is_always_made(
    params: dict[str, Any], n: int, kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    both = BothWays(tokenizer, kind=kind, n=n, **params)
    await run(both, tokens, logprobs="logprobs" in params)
    assert both.ours.made == both.vllm.made
    assert both.ours.made.total() > 3 * n


@COUNTS
async def test_the_last_alone(n: int, tokenizer: Any, tokens: list[int]) -> None:
    both = BothWays(tokenizer, kind="FINAL_ONLY", n=n, log_stats=True)
    await run(both, tokens)
    assert len(both.received) == 1
    assert both.ours.made == both.vllm.made


@STREAMED
async def test_a_tokenizer_in_python(
    kind: str, tokenizer: Any, tokens: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detokenizer, "uses_fast_detokenizer", lambda _: False)
    both = BothWays(tokenizer, kind=kind)
    assert type(both.ours.states[0].detokenizer) is detokenizer.SlowIncrementalDetokenizer
    await run(both, tokens)
    assert both.ours.made[0] == 3
    assert "\U0001f44b" in "".join(item["outputs"][0]["text"] for item in both.received)


@STREAMED
@COUNTS
@pytest.mark.parametrize("include", [False, True])
async def test_a_stop_string_ends_it(
    include: bool, n: int, kind: str, tokenizer: Any, model: ScriptedModel
) -> None:
    """Which the detokenizer finds, and EngineCore does not know."""
    both = BothWays(
        tokenizer, kind=kind, n=n, stop=["r\u00fcck"], include_stop_str_in_output=include
    )
    for token in model.encode("zur\u00fcc"):
        await both.equal_turn(*[Step((token,), index) for index in range(n)])
    assert both.ours.made.total() < both.vllm.made.total()
    for index in range(n):
        await both.equal_turn(Step((model.encode("k")[0],), index))
    both.check_ended()
    last = both.received[-1]["outputs"][0]
    assert last["stop_reason"] == "r\u00fcck"
    assert last["text"].endswith("k") == include


@STREAMED
@COUNTS
async def test_a_token_ends_it(n: int, kind: str, tokenizer: Any, tokens: list[int]) -> None:
    for stop_reason in (None, EOS_ID):
        both = BothWays(tokenizer, kind=kind, n=n, log_stats=True)
        for token in tokens[:5]:
            await both.equal_turn(*[Step((token,), index) for index in range(n)])
        ends = [Step((EOS_ID,), index, "STOP", stop_reason) for index in range(n)]
        await both.equal_turn(*ends)
        both.check_ended()


@STREAMED
@COUNTS
async def test_an_abort_ends_it(n: int, kind: str, tokenizer: Any, tokens: list[int]) -> None:
    both = BothWays(tokenizer, kind=kind, n=n, log_stats=True)
    for token in tokens[:5]:
        await both.equal_turn(*[Step((token,), index) for index in range(n)])
    before = len(both.received)
    await both.abort()
    assert both.merged(both.received[before:]) == both.yielded[-1]
    assert both.received[-1]["outputs"][0]["finish_reason"] == "abort"
    both.check_ended()


@COUNTS
async def test_a_client_that_leaves(n: int, tokenizer: Any, tokens: list[int]) -> None:
    both = BothWays(tokenizer, n=n)
    for token in tokens[:5]:
        await both.equal_turn(*[Step((token,), index) for index in range(n)])
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
    kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    both = BothWays(tokenizer, kind=kind, n=3)
    for token in tokens[:4]:
        await both.equal_turn(*[Step((token,), index) for index in range(3)])
    steps = [Step((tokens[4],), index, "LENGTH") for index in range(3)]
    yielded, received = await both.turn(*steps)
    assert received == yielded
    assert [len(item["outputs"]) for item in received] == [3]
    both.check_ended()


@STREAMED
@COUNTS
async def test_several_tokens_or_none_in_a_step(
    n: int, kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    both = BothWays(tokenizer, kind=kind, n=n, log_stats=True)
    for start, count in ((0, 1), (1, 1), (2, 1), (3, 3), (6, 0), (6, 1), (7, 2), (9, 1), (10, 1)):
        part = tuple(tokens[start : start + count])
        made = both.ours.made.copy()
        await both.equal_turn(*[Step(part, index) for index in range(n)])
        if start > 2:
            assert both.ours.made == made
    await both.equal_turn(*[Step((), index, "LENGTH") for index in range(n)])
    both.check_ended()


@STREAMED
async def test_several_steps_in_a_turn(kind: str, tokenizer: Any, tokens: list[int]) -> None:
    """Of several completions too, though EngineCore brings one token of each in a step."""
    both = BothWays(tokenizer, kind=kind)
    for start in range(0, 12, 3):
        await both.equal_turn(*[Step((token,)) for token in tokens[start : start + 3]])
    assert both.ours.made[0] == 2
    await both.abort()
    both.check_ended()

    several = BothWays(tokenizer, kind=kind, n=2, log_stats=True)
    for part in (tokens[:1], tokens[1:2], tokens[2:5], tokens[5:8], tokens[8:11]):
        await several.equal_turn(*[Step((token,), index) for token in part for index in range(2)])
    assert several.ours.made.total() < several.vllm.made.total() / 2
    await several.abort()
    several.check_ended()


@STREAMED
@COUNTS
async def test_completions_that_wait_for_their_turn(
    n: int, kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    """Not every step brings tokens of each: some are not scheduled, or preempted."""
    both = BothWays(tokenizer, kind=kind, n=n, log_stats=True)
    for turn, token in enumerate(tokens):
        which = [index for index in range(n) if turn < 3 or (turn + index) % 3]
        await both.equal_turn(*[Step((token,), index) for index in reversed(which)])
    assert both.ours.made.total() < both.vllm.made.total() / 2
    await both.abort()
    both.check_ended()


@STREAMED
@COUNTS
async def test_versions_of_the_weights(
    n: int, kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    both = BothWays(tokenizer, kind=kind, n=n)
    for turn, token in enumerate(tokens[:8]):
        steps = [Step((token,), index) for index in range(n)]
        await both.equal_turn(*steps, weight_version="v1" if turn < 5 else "v2")
    await both.equal_turn(
        *[Step((tokens[8],), index, "LENGTH") for index in range(n)], weight_version="v2"
    )
    both.check_ended()
    spans = both.received[-1]["outputs"][0]["weight_versions"]
    assert [(span["start"], span["end"]) for span in spans] == [(0, 5), (5, 9)]
    assert both.ours.made.total() < both.vllm.made.total()


@STREAMED
@COUNTS
async def test_sampling_masks(n: int, kind: str, tokenizer: Any, tokens: list[int]) -> None:
    both = BothWays(tokenizer, kind=kind, n=n)
    for token in tokens[:6]:
        await both.equal_turn(*[Step((token,), i, masks=((token, 7),)) for i in range(n)])
    ends = [Step((5, 6), i, "LENGTH", masks=((5, 7), (6,))) for i in range(n)]
    await both.equal_turn(*ends)
    both.check_ended()
    assert both.ours.made == both.vllm.made


@STREAMED
async def test_masks_that_are_all_the_same_and_end(
    kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    both = BothWays(tokenizer, kind=kind)
    for token in tokens[:4]:
        await both.equal_turn(Step((token,), masks=((7, 8),)))
    for token in tokens[4:8]:
        await both.equal_turn(Step((token,)))
    await both.abort()
    both.check_ended()


@STREAMED
@COUNTS
async def test_parameters_of_a_connector(
    n: int, kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    both = BothWays(tokenizer, kind=kind, n=n)
    for turn, token in enumerate(tokens[:8]):
        transfer = {"turn": turn} if turn in (1, 5) else None
        await both.equal_turn(*[Step((token,), i, transfer=transfer) for i in range(n)])
    await both.abort()
    both.check_ended()
    assert both.ours.made.total() < both.vllm.made.total()


@STREAMED
async def test_completions_that_found_other_parts_of_the_prompt_cached(
    kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    """An item has the number of the first in its turn, which may be any that still runs."""
    both = BothWays(tokenizer, kind=kind, n=2)
    await both.equal_turn(Step((tokens[0],), 0, cached=0), Step((tokens[0],), 1, cached=16))
    for token in tokens[1:4]:
        await both.equal_turn(Step((token,), 0), Step((token,), 1))
    for token in tokens[4:6]:
        await both.equal_turn(Step((token,), 1))
    await both.abort()
    both.check_ended()


@KINDS
@COUNTS
async def test_credit_that_runs_out_and_comes_back(
    n: int, kind: str, tokenizer: Any, tokens: list[int]
) -> None:
    """What was merged meanwhile is less items, and the same text."""
    both = BothWays(tokenizer, kind=kind, n=n, places=5)
    for turn, token in enumerate(tokens):
        await both.turn(*[Step((token,), index) for index in range(n)])
        if turn == 12:
            assert len(both.received) == (0 if kind == "FINAL_ONLY" else 5)
            both.outlet.give(1000)
    await both.turn(*[Step((), index, "LENGTH") for index in range(n)])
    both.check_ended()
    ours, theirs = both.merged(both.received), both.merged(both.yielded)
    assert ours["outputs"] == theirs["outputs"]
    if kind != "FINAL_ONLY":
        assert len(both.yielded) > len(both.received) > 12
        # All that found no credit was made, and nothing else but the first two and the last.
        assert both.vllm.made[0] > both.ours.made[0] >= 8
