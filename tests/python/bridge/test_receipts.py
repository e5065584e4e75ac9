"""Sessions that are cut while engines are built: no engine is left, no confirmed one is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from typing import Any

import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.client import Client, Failed, Running, Session
from tests.python.support.native import BOTH_WAYS
from tests.python.support.values import Ref
from tests.python.support.workers import fake_arguments

pytestmark = BOTH_WAYS

BUILD: dict[str, tuple[str, str, object]] = {
    "AsyncLLM": ("AsyncLLM", "from_engine_args", fake_arguments()),
    "LLM": ("LLM", "new", "fake"),
}

OF_BOTH_CLASSES = pytest.mark.parametrize("cls", sorted(BUILD))


async def engines(client: Client) -> set[str]:
    """The engines that the worker has."""
    return {engine["ref"] for engine in (await client.call("Worker", "status"))["engines"]}


async def wait_engines(client: Client, wanted: Collection[str], allowed: Collection[str]) -> None:
    """Returns once the worker has all engines that are wanted, and none that is not allowed."""
    while not set(wanted) <= (left := await engines(client)) or not left <= set(allowed):
        pass  # nobody tells when the shutdown of a lost engine is over


async def start(session: Session, cls: str) -> Running:
    """Starts to build an engine."""
    return await session.start(*BUILD[cls])


async def confirm(session: Session, reply: pb.CallReply) -> None:
    """Sends the receipt of a new engine."""
    assert reply.built
    assert len(reply.references) == 1
    await session.write(pb.ClientFrame(receipts=reply.references))


@OF_BOTH_CLASSES
async def test_an_engine_without_a_receipt_ends_with_its_session(client: Client, cls: str) -> None:
    before = await engines(client)
    async with client.session() as session:
        built = await (await start(session, cls)).reply()
        assert set(built.references) <= await engines(client)
        # A receipt of another session counts nothing.
        async with client.session() as other:
            await confirm(other, built)
            await other.call("Worker", "status")
    await wait_engines(client, before, before)


@OF_BOTH_CLASSES
async def test_an_engine_with_a_receipt_outlives_its_session(client: Client, cls: str) -> None:
    before = await engines(client)
    async with client.session() as session:
        running = await start(session, cls)
        built = await running.reply()
        await confirm(session, built)
        await session.call("Worker", "status")
    (ref_id,) = built.references
    await wait_engines(client, {ref_id, *before}, {ref_id, *before})
    engine = Ref(session.hello.incarnation, ref_id, cls)
    assert await client.call(engine, "get_num_unfinished_requests") == 0
    await client.call(engine, "shutdown")
    await wait_engines(client, before, before)


@OF_BOTH_CLASSES
async def test_a_shutdown_that_runs_when_the_session_ends_is_the_only_one(
    client: Client, cls: str
) -> None:
    before = await engines(client)
    async with client.session() as session:
        engine: Any = await (await start(session, cls)).value()
        await session.start(engine, "shutdown")
    await wait_engines(client, before, before)
    with pytest.raises(Failed, match="STALE_REF"):
        await client.call(engine, "get_num_unfinished_requests")


@OF_BOTH_CLASSES
@pytest.mark.parametrize("seed", range(4))
async def test_wherever_a_session_is_cut_no_engine_is_left_and_none_that_was_confirmed_is_lost(
    client: Client, cls: str, seed: int
) -> None:
    chance = random.Random(seed)
    before = await engines(client)
    confirmed: set[str] = set()
    doubtful: set[str] = set()
    for _ in range(12):
        sent: set[str] = set()
        async with client.session() as session:
            calls = [await start(session, cls) for _ in range(chance.randint(1, 3))]
            for call in calls[: chance.randint(0, len(calls))]:
                built = await call.reply()
                if chance.random() < 0.6:
                    await confirm(session, built)
                    sent.update(built.references)
            if chance.random() < 0.5:
                await session.call("Worker", "status")  # the receipts have been read
                confirmed |= sent
                sent.clear()
            for _ in range(chance.randint(0, 200)):
                await asyncio.sleep(0)
        doubtful |= sent  # gRPC drops what it has not sent when a session is cut
    await wait_engines(client, confirmed | before, confirmed | doubtful | before)
    for ref_id in await engines(client) - before:
        await client.call(Ref(session.hello.incarnation, ref_id, cls), "shutdown")
    await wait_engines(client, before, before)
