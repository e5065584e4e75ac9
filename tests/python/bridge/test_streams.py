"""Streams through the Stream rpc: order, agreement, abort, errors, deadlines."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.client import Client, Failed, release, sampling
from tests.python.support.native import BOTH_WAYS, EOF
from tests.python.support.values import Ref, decode
from tests.python.support.workers import fake_engine

KINDS = ("CUMULATIVE", "DELTA", "FINAL_ONLY")


def tokens(count: int, index: int = 0) -> list[int]:
    """What the fake engine generates."""
    first = 256 + 100_000 * index
    return list(range(first, first + count))


def add_up(items: list[Any], kind: str) -> dict[int, tuple[list[int], str, list[Any]]]:
    """Returns ids, text and logprobs of each completion of a whole stream."""
    made: dict[int, tuple[list[int], str, list[Any]]] = defaultdict(lambda: ([], "", []))
    for item in items:
        for output in item.outputs:
            new = (output.token_ids, output.text, output.logprobs or [])
            if kind == "DELTA":
                ids, text, logprobs = made[output.index]
                new = (ids + new[0], text + new[1], logprobs + new[2])
            made[output.index] = new
    return dict(made)


async def test_items_come_in_order_and_the_last_is_finished(client: Client, engine: Ref) -> None:
    await client.call(engine, "script", {"paced": True})
    items = await client.items(engine, "generate", "hi", sampling(max_tokens=20), "mine")
    assert [item.outputs[0].token_ids for item in items] == [tokens(n) for n in range(1, 21)]
    assert [item.finished for item in items] == [False] * 19 + [True]
    assert {item.request_id for item in items} == {"mine"}
    assert {item.prompt for item in items} == {"hi"}
    assert items[-1].outputs[0].finish_reason == "length"
    assert items[-1].metrics.num_generation_tokens == 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("paced", [True, False])
async def test_texts_and_token_ids_alone_add_up(
    paced: bool, kind: str, client: Client, engine: Ref
) -> None:
    await client.call(engine, "script", {"paced": paced})
    params = sampling(max_tokens=20, output_kind=kind)
    whole = await client.generate(engine, "hi", sampling(max_tokens=20))

    async def parts(asked: pb.Items) -> list[Any]:
        call = client.replies(engine, "generate", "hi", params, "r", asked=asked)
        return [decode(reply.item) async for reply in call if reply.HasField("item")]

    assert "".join(await parts(pb.ITEMS_TEXT)) == whole.outputs[0].text
    ids = await parts(pb.ITEMS_TOKEN_IDS)
    assert [token for part in ids for token in part] == tokens(20)


async def test_parts_of_outputs_where_they_would_not_do(client: Client, engine: Ref) -> None:
    for params in (sampling(n=2), sampling(logprobs=1)):
        call = client.replies(engine, "generate", "hi", params, "r", asked=pb.ITEMS_TEXT)
        reply = await call.read()
        assert reply.failure.kind == pb.FAILURE_KIND_INVALID
        assert decode(reply.failure.details) == {"parameter": "items"}


async def test_the_first_item_arrives_before_the_last_is_made(client: Client, engine: Ref) -> None:
    await client.call(engine, "script", {"hang": True, "after": 1})
    stream = client.replies(engine, "generate", "hi", sampling(), "r")
    assert (await stream.read()).WhichOneof("outcome") == "accepted"
    assert (await stream.read()).WhichOneof("outcome") == "item"
    stream.cancel()


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("paced", [True, False])
async def test_all_output_kinds_agree(n: int, paced: bool, client: Client, engine: Ref) -> None:
    await client.call(engine, "script", {"paced": paced})
    made = {}
    for kind in KINDS:
        params = sampling(n=n, max_tokens=50, logprobs=2, output_kind=kind)
        made[kind] = add_up(await client.items(engine, "generate", "hi", params, "r"), kind)
    for index in range(n):
        ids, text, logprobs = made["FINAL_ONLY"][index]
        assert ids == tokens(50, index)
        assert text == "".join(f" {token}" for token in ids)
        assert [min(position) for position in logprobs] == ids
        assert made["CUMULATIVE"][index] == made["DELTA"][index] == (ids, text, logprobs)


@BOTH_WAYS
async def test_a_hundred_streams_run_at_the_same_time(client: Client, engine: Ref) -> None:
    """None ends before it is released, and that is when all of them have begun."""
    await client.call(engine, "script", {"hold": True, "after": 10})
    params = sampling(max_tokens=25, output_kind="DELTA")
    async with client.session() as session:
        running = [
            await session.start(engine, "generate", "hi", params, str(n)) for n in range(100)
        ]
        await session.call(engine, "wait_requests", 100)
        await release(session, engine, 100)
        for stream in running:
            assert (await stream.items())[-1].finished


async def test_cancelling_aborts_in_the_engine(client: Client, engine: Ref) -> None:
    for n in range(20):
        stream = client.replies(engine, "generate", "hi", sampling(max_tokens=None), f"r{n}")
        await stream.read()
        stream.cancel()
        await client.call(engine, "wait_aborted", f"r{n}")
    assert (await client.call(engine, "live"))["requests"] == 0


async def test_cancelling_ends_every_completion(client: Client, engine: Ref) -> None:
    for n in range(10):
        stream = client.replies(engine, "generate", "hi", sampling(n=4, max_tokens=None), f"r{n}")
        await stream.read()
        stream.cancel()
    await client.call(engine, "wait_requests", 0)
    assert len(await client.call(engine, "aborted")) == 40


@pytest.mark.parametrize("place", ["admission", "adding"])
async def test_cancelling_before_the_engine_accepts(
    place: str, client: Client, engine: Ref
) -> None:
    await client.call(engine, "script", {"hang_in": place})
    stream = client.replies(engine, "generate", "hi", sampling(), "r")
    reading = asyncio.ensure_future(stream.read())
    known = 1 if place == "adding" else 0
    await client.call(engine, "wait_called", "generate")
    await client.call(engine, "wait_requests", known)
    assert not reading.done(), "nothing is accepted yet"
    stream.cancel()
    await client.call(engine, "wait_requests", 0)
    await asyncio.gather(reading, return_exceptions=True)


async def test_abort_ends_the_stream_with_finish_reason_abort(client: Client, engine: Ref) -> None:
    await client.call(engine, "script", {"delay": 0.002})
    last = asyncio.create_task(client.generate(engine, "hi", sampling(max_tokens=None), "mine"))
    await client.call(engine, "wait_requests", 1)
    await client.call(engine, "abort", "mine")
    assert (await last).outputs[0].finish_reason == "abort"


async def test_a_deadline_aborts_a_long_generation(client: Client, engine: Ref) -> None:
    await client.call(engine, "script", {"delay": 0.01})
    for n in range(20):
        params = sampling(max_tokens=None)
        with pytest.raises(Failed, match=r"TIMEOUT.* 50 ms"):
            await client.items(engine, "generate", "hi", params, f"r{n}", timeout_ms=50)
        await client.call(engine, "wait_aborted", f"r{n}")
    assert (await client.call(engine, "live"))["requests"] == 0


async def test_an_error_after_k_items_is_k_items_and_one_failure(
    client: Client, engine: Ref
) -> None:
    await client.call(engine, "script", {"paced": True, "after": 5, "fail": ["KeyError", "lost"]})
    stream = client.stream(engine, "generate", "hi", sampling(), "r")
    for _ in range(5):
        await anext(stream)
    with pytest.raises(Failed) as caught:
        await anext(stream)
    assert caught.value.failure.type == "vllm.v1.engine.exceptions.EngineGenerateError"
    (cause,) = caught.value.causes()
    assert cause.type == "builtins.KeyError"
    assert "lost" in caught.value.failure.message, "it has no message, its cause has"


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (["VLLMValidationError", "too long"], "INVALID"),
        (["VLLMNotFoundError", "no such adapter"], "NOT_FOUND"),
        (["QueueOverflowError", "too many requests"], "OVERLOADED"),
        (["EngineDeadError"], "ENGINE_DEAD"),
        (["RuntimeError", "odd"], "ENGINE_ERROR"),
    ],
)
async def test_a_refusal_comes_in_place_of_accepted(
    refusal: list[str], kind: str, client: Client, engine: Ref
) -> None:
    await client.call(engine, "script", {"refuse": refusal})
    replies = [r async for r in client.replies(engine, "generate", "hi", sampling(), "r")]
    assert [reply.WhichOneof("outcome") for reply in replies] == ["failure"]
    assert Failed(replies[0].failure).kind == kind


async def test_a_duplicate_request_id_harms_no_stream(client: Client, engine: Ref) -> None:
    """As in vLLM: both run, cancelling one leaves the other, abort of the id ends both."""
    await client.call(engine, "script", {"delay": 0.002})
    survivor = asyncio.create_task(client.generate(engine, "hi", sampling(max_tokens=100), "same"))
    stream = client.replies(engine, "generate", "hi", sampling(max_tokens=None), "same")
    await stream.read()
    await client.call(engine, "wait_requests", 2)
    stream.cancel()
    assert (await survivor).outputs[0].token_ids == tokens(100)


async def test_the_death_of_the_engine_fails_every_stream(client: Client, engine: Ref) -> None:
    await client.call(engine, "script", {"hang": True, "after": 1})
    tasks = [
        asyncio.create_task(client.generate(engine, "hi", sampling(), str(n))) for n in range(64)
    ]
    await client.call(engine, "wait_requests", 64)
    await client.call(engine, "die")
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {result.kind for result in results if isinstance(result, Failed)} == {"ENGINE_DEAD"}
    assert len(results) == 64
    assert await client.call(engine, "errored") is True
    with pytest.raises(Failed, match="ENGINE_DEAD"):
        await client.call(engine, "check_health")


async def test_a_call_that_hangs_in_a_dying_engine_is_answered(client: Client, engine: Ref) -> None:
    """VLLM leaves a utility call waiting for ever when EngineCore dies under it."""
    await client.call(engine, "inject", "sleep", {"hang": True})
    hanging = asyncio.create_task(client.call(engine, "sleep"))
    await client.call(engine, "wait_called", "sleep")
    await client.call(engine, "die")
    with pytest.raises(Failed, match="ENGINE_DEAD"):
        await hanging


@BOTH_WAYS
async def test_a_death_is_announced_to_sessions_and_a_shutdown_is_not(client: Client) -> None:
    async with client.session() as session:
        ended, dying = await fake_engine(session), await fake_engine(session)
        await session.call(ended, "shutdown")
        await session.call(dying, "die")
        await session.wait_for(lambda: bool(session.notices))
        (notice,) = session.notices
    assert notice.engine_died.ref == dying.id
    assert notice.engine_died.failure.kind == pb.FAILURE_KIND_ENGINE_DEAD


async def test_pooling_yields_a_tensor(client: Client, engine: Ref) -> None:
    (output,) = await client.items(engine, "encode", "hi", {"task": "embed"}, "r")
    assert output.name == "PoolingRequestOutput"
    data = output.outputs.data
    assert (data.dtype, data.shape, len(data.data)) == ("float32", (8,), 32)


async def test_any_async_generator_streams(client: Client, engine: Ref) -> None:
    assert await client.items(engine, "count", 100) == list(range(100))
    stream = client.replies(engine, "count", 1_000_000)
    await stream.read()
    await stream.read()
    stream.cancel()
    await client.call(engine, "wait_streams", 0)


async def test_an_async_generator_that_raises(client: Client, engine: Ref) -> None:
    stream = client.stream(engine, "raise_while_streaming", 3, "KeyError", "gone")
    assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Failed, match="gone") as caught:
        await anext(stream)
    assert caught.value.failure.type == "builtins.KeyError"


async def test_a_slow_reader_costs_no_memory_and_delays_nobody(client: Client, engine: Ref) -> None:
    """What is not read is merged in the engine's collector, by vLLM's own rule."""
    params = sampling(max_tokens=20_000, output_kind="DELTA")
    slow = client.replies(engine, "generate", "hi", params, "slow")
    await slow.read()
    await client.call(engine, "wait_requests", 0)
    assert (await client.generate(engine, "hi", sampling(max_tokens=10))).finished
    outcomes: Counter[str] = Counter()
    while (reply := await slow.read()) is not EOF:
        outcomes[reply.WhichOneof("outcome")] += 1
    assert outcomes["end"] == 1
    assert 0 < outcomes["item"] < 10_000
