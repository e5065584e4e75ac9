"""A session that is lost and comes back: its references are as before, and its calls have ended."""

from __future__ import annotations

import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.client import Client, Failed, Session, sampling
from tests.python.support.native import BOTH_WAYS
from tests.python.support.values import Ref
from tests.python.support.workers import fake_arguments

pytestmark = BOTH_WAYS

LONG = 600_000

ENDLESS = sampling(max_tokens=1_000_000)


def resumed(client: Client, lost: pb.ServerHello) -> Session:
    """A session that takes over the references of a lost one."""
    return client.session(disconnect_grace_ms=LONG, resume_key=lost.resume_key)


async def leave(session: Session) -> None:
    """Says that the client does not come back."""
    await session.write(pb.ClientFrame(leaving=True))
    await session.call("Worker", "status")  # it has been read


async def test_references_of_a_lost_session_are_valid_in_the_next(
    client: Client, engine: Ref
) -> None:
    alive = await client.call(engine, "alive")
    async with client.session(disconnect_grace_ms=LONG) as session:
        thing = await session.call(engine, "make", "object")
        stream = await session.start(engine, "generate", "x", ENDLESS, "r")
        await stream.accepted()
        lost = session.hello
    # Its requests end with it, as without a grace time.
    await client.call(engine, "wait_requests", 0)
    assert await client.call(engine, "alive") == alive + 1
    assert not lost.resumed
    async with resumed(client, lost) as session:
        assert session.hello.resumed
        assert list(session.hello.held) == [thing.id]
        assert await session.call(thing, "greet", "Ada") == "thing greets Ada"
        await session.write(pb.ClientFrame(releases=[thing.id]))
        with pytest.raises(Failed, match="STALE_REF"):
            await session.call(thing, "name")
        assert await session.call(engine, "alive") == alive
        await leave(session)


async def test_a_session_that_never_comes_back_is_forgotten(client: Client, engine: Ref) -> None:
    alive = await client.call(engine, "alive")
    async with client.session(disconnect_grace_ms=50) as session:
        await session.call(engine, "make", "object")
    await client.call(engine, "wait_alive", alive)
    async with resumed(client, session.hello) as late:
        assert not late.hello.resumed
        assert not late.hello.held
        await leave(late)


async def test_who_leaves_is_not_waited_for(client: Client, engine: Ref) -> None:
    alive = await client.call(engine, "alive")
    async with client.session(disconnect_grace_ms=LONG) as session:
        await session.call(engine, "make", "object")
        await leave(session)
    await client.call(engine, "wait_alive", alive)


async def test_a_client_may_be_back_before_the_worker_knows_of_its_loss(
    client: Client, engine: Ref
) -> None:
    async with client.session(disconnect_grace_ms=LONG) as session:
        thing = await session.call(engine, "make", "object")
        async with resumed(client, session.hello) as again:
            assert list(again.hello.held) == [thing.id]
            # The worker closes the one that was left.
            await session.status()
            assert await again.call(thing, "name") == "thing"
            # Its key is used up.
            async with resumed(client, session.hello) as stranger:
                assert not stranger.hello.resumed
                await leave(stranger)
            await leave(again)
    with pytest.raises(Failed, match="STALE_REF"):
        await client.call(thing, "name")


async def test_engines_end_as_without_a_grace_time(client: Client) -> None:
    """One that was built without a receipt ends with its session, also when that is resumed."""

    async def engines() -> set[str]:
        return {it["ref"] for it in (await client.call("Worker", "status"))["engines"]}

    before = await engines()
    async with client.session(disconnect_grace_ms=LONG) as session:
        built = await session.call("AsyncLLM", "from_engine_args", fake_arguments())
        assert built.id in await engines()
        hello = session.hello
    async with resumed(client, hello) as session:
        assert session.hello.resumed
        while await engines() != before:
            pass  # nobody tells when the shutdown of a lost engine is over
        await leave(session)
