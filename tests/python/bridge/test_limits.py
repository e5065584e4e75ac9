"""Limits: calls at once, sizes of messages, who may connect."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.wire.limits import MAX_MESSAGE_BYTES, MAX_VALUE_BYTES
from tests.python.support.client import Client, Failed, Running, Session, request, sampling
from tests.python.support.values import Ref
from tests.python.support.worker import TOKEN, Worker
from tests.python.support.workers import Workers, fake_engine

MAX_CALLS = 20


@pytest.fixture(scope="module")
def small_worker(workers: Workers) -> Iterator[Worker]:
    """A worker with a low limit of concurrent calls."""
    with workers.running("small", "--max-calls", str(MAX_CALLS)) as worker:
        yield worker


@pytest.fixture
async def small(small_worker: Worker) -> AsyncIterator[tuple[Client, Ref]]:
    """A client of it, with an engine."""
    async with Client(small_worker.address) as client:
        engine = await fake_engine(client)
        yield client, engine
        await client.call(engine, "shutdown")


async def fill(session: Session, engine: Ref) -> list[Running]:
    """Starts as many streams as the worker takes calls."""
    params = sampling(max_tokens=None, extra_args={"fake": {"hang": True}})
    full = [
        await session.start(engine, "generate", "hi", params, f"full-{n}") for n in range(MAX_CALLS)
    ]
    for stream in full:
        await stream.accepted()
    return full


async def end(full: list[Running]) -> None:
    """Cancels streams and waits for their end."""
    for stream in full:
        await stream.cancel()
        with pytest.raises(Failed, match="CANCELLED"):
            await stream.items()


async def test_beyond_the_limit_calls_are_refused_and_the_engine_sees_none(
    small: tuple[Client, Ref],
) -> None:
    client, engine = small
    async with client.session() as session:
        full = await fill(session, engine)
        for n in range(50):
            with pytest.raises(Failed, match="OVERLOADED") as caught:
                await session.call(engine, "sleep", 1)
            assert caught.value.failure.retryable
            assert caught.value.details == {"max_calls": MAX_CALLS}
            refused = await session.start(engine, "generate", "hi", sampling(), f"refused-{n}")
            with pytest.raises(Failed, match="OVERLOADED"):
                await refused.accepted()
        # Clients without a session are refused alike.
        with pytest.raises(Failed, match="OVERLOADED"):
            await client.call(engine, "sleep", 1)
        with pytest.raises(Failed, match="OVERLOADED"):
            await client.items(engine, "generate", "hi", sampling(), "refused")
        await end(full)
        assert await session.call(engine, "calls", "sleep") == []
        assert len(await session.call(engine, "calls", "generate")) == MAX_CALLS


async def test_at_the_limit_requests_can_be_looked_at_and_ended(
    small: tuple[Client, Ref],
) -> None:
    client, engine = small
    async with client.session() as session:
        endless = sampling(max_tokens=None, extra_args={"fake": {"hang": True}})
        collector = await session.call(engine, "add_request", "collected", "hi", endless)
        full = await fill(session, engine)
        assert (await session.call(collector, "request_id")).startswith("collected-")
        assert await session.call(collector, "get_nowait") is None
        assert await session.call(collector, "close") is None
        status = await session.call("Worker", "status")
        assert status["calls"] == MAX_CALLS + 1
        assert await session.call(engine, "get_num_unfinished_requests") == MAX_CALLS
        assert await session.call(engine, "check_health") is None
        assert await session.call(engine, "errored") is False
        # An abort makes room for one call, a cancel for another.
        await session.call(engine, "abort", "full-0")
        assert [item.finished for item in await full[0].items()] == [True]
        await session.call(engine, "echo", 1)
        await end(full[1:])


async def test_room_is_given_back_however_a_call_ends(small: tuple[Client, Ref]) -> None:
    client, engine = small
    async with client.session() as session:
        for _ in range(3):
            await end(await fill(session, engine))
        for n in range(3 * MAX_CALLS):
            with pytest.raises(Failed, match="KeyError"):
                await session.call(engine, "raise_", "KeyError")
            with pytest.raises(Failed, match="TIMEOUT"):
                await session.call(engine, "wait_forever", timeout_ms=1)
            assert await session.call(engine, "echo", n) == n
    async with client.session() as left:
        await fill(left, engine)
    # What a client that is gone had taken is free again.
    await client.call("Worker", "status")
    async with client.session() as session:
        await wait_free(session, engine)
        await end(await fill(session, engine))


async def wait_free(session: Session, engine: Ref) -> None:
    """Returns when the worker takes calls again."""
    while True:
        try:
            await session.call(engine, "wait_requests", 0)
        except Failed as error:
            assert error.kind == "OVERLOADED"  # noqa: PT017
        else:
            return


async def test_of_a_thousand_calls_at_once_none_is_lost(small: tuple[Client, Ref]) -> None:
    client, engine = small
    async with client.session() as session:
        starts = [
            pb.StartCall(id=n, request=request(engine, "echo_async", [n])) for n in range(1, 1001)
        ]
        await session.write(pb.ClientFrame(calls=starts))
        session._last_id = 1000
        outcomes: Counter[str] = Counter()
        for n in range(1, 1001):
            reply = await session._calls[n].get()
            outcomes[reply.WhichOneof("outcome")] += 1
            if reply.WhichOneof("outcome") == "failure":
                assert reply.failure.kind == pb.FAILURE_KIND_OVERLOADED
        # The worker takes them in several turns, in which earlier ones end.
        assert outcomes["value"] >= MAX_CALLS
        assert outcomes.total() == 1000
        assert await session.call("Worker", "status")


async def test_a_value_beyond_the_limit_is_refused_and_the_session_lives(
    client: Client, engine: Ref
) -> None:
    async with client.session() as session:
        with pytest.raises(Failed, match="UNSUPPORTED") as caught:
            await session.call(engine, "echo", b"x" * MAX_VALUE_BYTES)
        assert caught.value.details["limit"] == MAX_VALUE_BYTES
        assert caught.value.details["bytes"] > MAX_VALUE_BYTES
        assert await session.call(engine, "echo", 1) == 1


async def test_an_item_beyond_the_limit_ends_its_stream_only(client: Client, engine: Ref) -> None:
    await client.call(engine, "script", {"delay": 0.001})
    async with client.session() as session:
        other = await session.start(engine, "generate", "hi", sampling(max_tokens=None), "other")
        await other.accepted()
        # A single text may not be as long, but the last item has all of them.
        fake = {"say": ["x" * (MAX_VALUE_BYTES // 4 + 1)] * 4}
        params = sampling(extra_args={"fake": fake}, output_kind="FINAL_ONLY")
        large = await session.start(engine, "generate", "hi", params, "large")
        del fake, params
        await large.accepted()
        with pytest.raises(Failed, match="UNSUPPORTED") as caught:
            await large.items()
        assert caught.value.details["limit"] == MAX_VALUE_BYTES
        await session.call(engine, "wait_requests", 1)
        await other.cancel()
        with pytest.raises(Failed, match="CANCELLED"):
            await other.items()
        assert await session.call(engine, "echo", 1) == 1


async def test_an_argument_beyond_the_limit_ends_the_rpc_with_its_name(
    client: Client, engine: Ref
) -> None:
    """GRPC looks at the size before we see the message; clients should, before they send it."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.call(engine, "echo", b"x" * MAX_MESSAGE_BYTES)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MAX_MESSAGE_BYTES) in (caught.value.details() or "")
    assert await client.call(engine, "echo", 1) == 1


async def test_a_wrong_token_costs_the_same_a_thousand_times(
    client: Client, worker: Worker
) -> None:
    async with Client(worker.address, token=TOKEN[:-1] + "x") as stranger:
        began = worker.rss_bytes()
        for _ in range(500):
            with pytest.raises(Failed, match="token"):
                await stranger.session(token="x" * len(TOKEN)).__aenter__()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stranger.call("Worker", "status")
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        status = await client.call("Worker", "status")
        assert (status["sessions"], status["calls"]) == (0, 1)
        assert worker.rss_bytes() - began < 16 * 1024 * 1024


def test_the_folder_of_a_socket_is_for_its_owner_only(workers: Workers, tmp_path: Path) -> None:
    folder = tmp_path / "made by the worker"
    with workers.running("w", listen=f"unix:{folder}/s"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "s").stat().st_mode) == 0o600
