"""References: whose they are, when they go, and what a wrong one gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.client import Client, Failed, Running
from tests.python.support.native import BOTH_WAYS
from tests.python.support.values import Ref
from tests.python.support.workers import fake_engine


async def test_an_object_comes_as_a_reference_and_answers(client: Client, engine: Ref) -> None:
    thing = await client.call(engine, "make", "object")
    assert thing.type == "Thing"
    assert await client.call(thing, "greet", "Ada") == "thing greets Ada"
    assert await client.call(thing, "greet", whom="Bob") == "thing greets Bob"
    assert await client.call(thing, "name") == "thing"


async def test_the_tokenizer_is_an_object_like_any_other(client: Client, engine: Ref) -> None:
    tokenizer = await client.call(engine, "get_tokenizer")
    assert await client.call(tokenizer, "encode", "hi") == [104, 105]
    assert await client.call(tokenizer, "decode", [104, 105, 256]) == "hi 256"


async def test_the_same_object_is_the_same_reference(client: Client, engine: Ref) -> None:
    thing = await client.call(engine, "make", "object")
    assert await client.call(thing, "itself") == thing
    assert await client.call(engine, "echo", thing) == thing


async def test_references_inside_of_values(client: Client, engine: Ref) -> None:
    first, inner = await client.call(engine, "make", "objects")
    (second,) = inner["nested"]
    assert await client.call(first, "name") == "a"
    assert await client.call(second, "name") == "b"
    assert await client.call(engine, "echo", {"x": [first, (second,)]}) == {"x": [first, (second,)]}


async def test_release_frees_the_object_once_nobody_holds_it(client: Client, engine: Ref) -> None:
    alive = await client.call(engine, "alive")
    async with client.session() as session:
        thing = await session.call(engine, "make", "object")
        assert await session.call(thing, "itself") == thing, "sent twice, so held twice"
        assert await session.call(engine, "alive") == alive + 1
        await session.write(pb.ClientFrame(releases=[thing.id]))
        assert await session.call(thing, "name") == "thing"
        await session.write(pb.ClientFrame(releases=[thing.id, thing.id]))
        assert await session.call(engine, "alive") == alive
        with pytest.raises(Failed, match="STALE_REF"):
            await session.call(thing, "name")


async def test_the_end_of_a_session_releases_what_it_held(client: Client, engine: Ref) -> None:
    alive = await client.call(engine, "alive")
    async with client.session() as other:
        async with client.session() as session:
            own = await session.call(engine, "make", "object")
            shared = await session.call(engine, "make", "object")
            assert await other.call(engine, "echo", shared) == shared
        assert (await client.call("Worker", "status"))["sessions"] >= 1
        # The worker sees the session end a moment later.
        await client.call(engine, "wait_alive", alive + 1)
        with pytest.raises(Failed, match="STALE_REF"):
            await other.call(own, "name")
        assert await other.call(shared, "name") == "thing"
        assert await other.call(engine, "alive") == alive + 1


@BOTH_WAYS
async def test_a_session_releases_replies_that_nobody_reads(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        alive = await session.call(engine, "alive")
        value = await (await session.start(engine, "make", "objects")).reply()
        assert len(value.references) == 2
        stream = await session.start(engine, "make_each", "objects", 3)
        items = [reply for _ in range(5) if (reply := await stream.reply()).references]
        assert [len(item.references) for item in items] == [2, 2, 2]
        assert await session.call(engine, "alive") == alive + 8
        await session.let_go(value, *items)
        assert await session.call(engine, "alive") == alive


@BOTH_WAYS
async def test_a_session_that_ends_with_replies_on_their_way_leaves_nothing(
    client: Client, engine: Ref
) -> None:
    alive = await client.call(engine, "alive")
    before = (await client.call("Worker", "status"))["references"]
    for _ in range(20):
        async with client.session() as session:
            for credit in (0, 1, 100):
                await session.start(engine, "make", "objects")
                await session.start(engine, "make_each", "objects", 50, credit=credit)
        await client.call(engine, "wait_alive", alive)
    assert (await client.call("Worker", "status"))["references"] == before


@BOTH_WAYS
async def test_a_call_that_is_cancelled_or_too_late_leaves_nothing_that_was_not_sent(
    client: Client, engine: Ref
) -> None:
    async with client.session() as session:
        alive = await session.call(engine, "alive")
        for timeout_ms in (0, 1):
            calls = [
                await session.start(engine, method, *args, credit=credit, timeout_ms=timeout_ms)
                for method, args in (("make", ["objects"]), ("make_each", ["objects", 50]))
                for credit in (0, 1, 10)
            ]
            for call in calls:
                await call.cancel()
            replies = [reply for call in calls for reply in await all_replies(call)]
            await session.let_go(*replies)
            assert await session.call(engine, "alive") == alive


async def test_an_rpc_that_is_cancelled_leaves_nothing_but_what_was_written(
    client: Client, engine: Ref
) -> None:
    alive = await client.call(engine, "alive")
    stream = client.replies(engine, "make_each", "ten_megabytes_and_an_object", 50)
    assert (await stream.read()).HasField("accepted")
    item = await stream.read()
    stream.cancel()
    for ref_id in item.references:
        assert await client.call("Worker", "release", ref_id)
    await client.call(engine, "wait_alive", alive)


async def all_replies(call: Running) -> list[pb.CallReply]:
    """The replies of a call, to its last one."""
    replies = [await call.reply()]
    while replies[-1].WhichOneof("outcome") in ("accepted", "item"):
        replies.append(await call.reply())
    return replies


async def test_single_calls_release_through_the_worker(client: Client, engine: Ref) -> None:
    alive = await client.call(engine, "alive")
    thing = await client.call(engine, "make", "object")
    assert await client.call("Worker", "release", thing.id) is True
    assert await client.call("Worker", "release", thing.id) is False
    assert await client.call(engine, "alive") == alive


async def test_an_engine_outlives_the_session_that_built_it(client: Client) -> None:
    async with client.session() as session:
        engine = await fake_engine(session)
        await session.write(pb.ClientFrame(receipts=[engine.id], releases=[engine.id]))
        assert await session.call(engine, "echo", 1) == 1
    assert await client.call(engine, "echo", 2) == 2
    await client.call(engine, "shutdown")
    with pytest.raises(Failed, match="STALE_REF"):
        await client.call(engine, "echo", 3)


async def test_stale_forged_and_foreign_references_are_refused(client: Client, engine: Ref) -> None:
    forged = [
        replace(engine, id="0" * len(engine.id)),
        replace(engine, id=""),
        replace(engine, id=engine.id[:-1]),
        replace(engine, id=str(id(engine))),
        replace(engine, incarnation="0" * 32),
        replace(engine, incarnation=""),
    ]
    for ref in forged:
        with pytest.raises(Failed) as as_target:
            await client.call(ref, "echo", 1)
        with pytest.raises(Failed) as as_argument:
            await client.call(engine, "echo", [ref])
        for caught in (as_target, as_argument):
            assert caught.value.kind == "STALE_REF"
            assert len(caught.value.failure.message) > 20
    assert "earlier worker" in str(as_target.value)
    assert await client.call(engine, "echo", 1) == 1
