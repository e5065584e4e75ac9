"""What grpc.health.v1 says of an engine that hangs, is dead, or is no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.python.support.client import Client, sampling
from tests.python.support.worker import Worker
from tests.python.support.workers import Workers, fake_engine

STALL_AFTER = 0.3

Status = health_pb2.HealthCheckResponse


@pytest.fixture(scope="module")
def impatient(workers: Workers) -> Iterator[Worker]:
    """A worker that reports an engine as stalled after a short time."""
    with workers.running("impatient", "--stall-after", str(STALL_AFTER)) as worker:
        yield worker


@pytest.fixture
async def client(impatient: Worker) -> AsyncIterator[Client]:
    """A client of it."""
    async with Client(impatient.address) as client:
        yield client


class Watched:
    """What is said of one service, as it changes."""

    def __init__(self, client: Client, service: str) -> None:
        stub = health_pb2_grpc.HealthStub(client.channel)
        self._rpc: Any = stub.Watch(health_pb2.HealthCheckRequest(service=service))

    async def until(self, status: int) -> None:
        """Returns when it is said to be so."""
        while (await self._rpc.read()).status != status:
            pass

    def cancel(self) -> None:
        """Asks no more."""
        self._rpc.cancel()


async def test_an_engine_is_well_until_it_dies_and_unknown_when_it_is_shut_down(
    client: Client,
) -> None:
    engine, other = await fake_engine(client), await fake_engine(client)
    watched, whole = Watched(client, engine.id), Watched(client, "")
    await watched.until(Status.SERVING)
    await client.call(engine, "die")
    await watched.until(Status.NOT_SERVING)
    await whole.until(Status.NOT_SERVING)
    for service in (other.id, "vllm_bridge.v1.Bridge"):
        still = Watched(client, service)
        await still.until(Status.SERVING)
        still.cancel()
    await client.call(engine, "shutdown")
    await watched.until(Status.SERVICE_UNKNOWN)
    await whole.until(Status.SERVING)
    await client.call(other, "shutdown")


async def test_an_engine_that_hangs_is_not_well_until_it_moves(client: Client) -> None:
    engine = await fake_engine(client)
    watched, whole = Watched(client, engine.id), Watched(client, "")
    await client.call(engine, "script", {"hold": True, "after": 2})
    running = asyncio.create_task(client.generate(engine, "hi", sampling(max_tokens=4)))
    for each in (watched, whole):
        await each.until(Status.NOT_SERVING)
    (stalled,) = (await client.call("Worker", "status"))["engines"]
    assert stalled["ref"] == engine.id
    assert stalled["stalled_s"] >= STALL_AFTER
    assert not stalled["errored"]
    assert await client.call(engine, "release") == 1
    assert (await running).outputs[0].finish_reason == "length"
    for each in (watched, whole):
        await each.until(Status.SERVING)
    (stalled,) = (await client.call("Worker", "status"))["engines"]
    assert stalled["stalled_s"] is None
    await client.call(engine, "shutdown")


async def test_one_that_dies_while_it_hangs_is_dead(client: Client) -> None:
    engine = await fake_engine(client)
    watched = Watched(client, engine.id)
    await client.call(engine, "script", {"hang": True})
    async with client.session() as session:
        await session.start(engine, "generate", "hi", sampling(), "r")
        await session.wait_for(lambda: len(session.notices) == 1)
        await session.call(engine, "die")
        await session.wait_for(lambda: len(session.notices) == 2)
        events = [notice.WhichOneof("event") for notice in session.notices]
    assert events == ["engine_stalled", "engine_died"]
    await watched.until(Status.NOT_SERVING)
    (status,) = (await client.call("Worker", "status"))["engines"]
    assert status["errored"]
    assert status["stalled_s"] is None
    await client.call(engine, "shutdown")
