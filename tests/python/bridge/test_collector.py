"""``add_request``: a reference to the outputs, which takes its request along when it goes."""

from __future__ import annotations

import pytest

from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Ref
from tests.python.support.workers import fake_engine

#: Goes on for ever.
ENDLESS = sampling(max_tokens=1_000_000, output_kind="DELTA")


async def test_items_until_finished_then_none(client: Client, engine: Ref) -> None:
    collector = await client.call(engine, "add_request", "r", "hi", sampling(max_tokens=3))
    assert collector.type == "RequestOutputCollector"
    while not (item := await client.call(collector, "get")).finished:
        pass
    assert item.request_id == "r"
    assert item.outputs[0].text == " 256 257 258"
    for method in ("get", "get_nowait", "get"):
        assert await client.call(collector, method) is None
    assert await client.call(collector, "close") is None


async def test_deltas_that_nobody_took_are_merged(client: Client, engine: Ref) -> None:
    params = sampling(max_tokens=50, output_kind="DELTA")
    collector = await client.call(engine, "add_request", "r", "hi", params)
    await client.call(engine, "wait_requests", 0)
    item = await client.call(collector, "get_nowait")
    assert item.finished
    assert item.outputs[0].token_ids == list(range(256, 306))


async def test_completions_of_one_request(client: Client, engine: Ref) -> None:
    params = sampling(n=3, temperature=1.0, max_tokens=4, output_kind="FINAL_ONLY")
    collector = await client.call(engine, "add_request", "r", "hi", params)
    item = await client.call(collector, "get")
    assert [output.index for output in item.outputs] == [0, 1, 2]
    assert await client.call(collector, "get") is None


async def test_get_nowait_does_not_wait(client: Client, engine: Ref) -> None:
    await client.call(engine, "pause_generation", mode="keep")
    collector = await client.call(engine, "add_request", "r", "hi", sampling(max_tokens=1))
    assert await client.call(collector, "get_nowait") is None
    await client.call(engine, "resume_generation")
    assert (await client.call(collector, "get")).finished


async def test_closing_aborts_and_wakes_who_waits(client: Client, engine: Ref) -> None:
    await client.call(engine, "pause_generation", mode="keep")
    collector = await client.call(engine, "add_request", "r", "hi", ENDLESS)
    async with client.session() as session:
        waiting = [await session.start(collector, "get") for _ in range(3)]
        await session.call(collector, "request_id")  # those before have begun
        assert await session.call(collector, "close") is None
        # The abort's own output, which is there before the end, is no exception.
        assert [await call.value() for call in waiting] == [None, None, None]
    await client.call(engine, "wait_requests", 0)
    assert await client.call(engine, "aborted") == ["r"]
    assert await client.call(collector, "get") is None


async def test_releasing_the_reference_aborts(client: Client, engine: Ref) -> None:
    collector = await client.call(engine, "add_request", "r", "hi", ENDLESS)
    assert await client.call("Worker", "release", collector.id) is True
    await client.call(engine, "wait_aborted", "r")
    with pytest.raises(Failed, match="STALE_REF"):
        await client.call(collector, "get")


async def test_the_end_of_its_session_aborts(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        await session.call(engine, "add_request", "mine", "hi", ENDLESS)
        await client.call(engine, "wait_requests", 1)
    await client.call(engine, "wait_aborted", "mine")
    await client.call(engine, "wait_requests", 0)


async def test_a_collector_that_has_ended_aborts_nothing(client: Client, engine: Ref) -> None:
    collector = await client.call(engine, "add_request", "r", "hi", sampling(max_tokens=1))
    assert (await client.call(collector, "get")).finished
    await client.call("Worker", "release", collector.id)
    # Whatever the release began has ended by the end of a further request.
    await client.items(engine, "generate", "hi", sampling(max_tokens=1), "next")
    assert await client.call(engine, "calls", "abort") == []


@pytest.mark.parametrize("n", [1, 3])
async def test_a_cancel_in_the_middle_of_add_request_leaves_nothing(
    n: int, client: Client, engine: Ref
) -> None:
    await client.call(engine, "script", {"hang_in": "adding"})
    params = sampling(n=n, temperature=1.0)
    async with client.session() as session:
        adding = await session.start(engine, "add_request", "r", "hi", params)
        await client.call(engine, "wait_requests", n)
        await adding.cancel()
        with pytest.raises(Failed, match="CANCELLED"):
            await adding.value()
    await client.call(engine, "wait_requests", 0)


async def test_a_deadline_of_get_takes_no_item(client: Client, engine: Ref) -> None:
    await client.call(engine, "pause_generation", mode="keep")
    collector = await client.call(engine, "add_request", "r", "hi", sampling(max_tokens=1))
    with pytest.raises(Failed, match="TIMEOUT"):
        await client.call(collector, "get", timeout_ms=50)
    await client.call(engine, "resume_generation")
    assert (await client.call(collector, "get")).outputs[0].text == " 256"


async def test_the_death_of_the_engine_fails_who_waits_and_who_asks(client: Client) -> None:
    engine = await fake_engine(client)
    await client.call(engine, "pause_generation", mode="keep")
    collector = await client.call(engine, "add_request", "r", "hi", sampling())
    async with client.session() as session:
        waiting = await session.start(collector, "get")
        await session.call(collector, "request_id")  # the one before has begun
        await client.call(engine, "die")
        with pytest.raises(Failed, match="ENGINE_DEAD"):
            await waiting.value()
    for method in ("get", "get_nowait", "get"):
        with pytest.raises(Failed, match="ENGINE_DEAD"):
            await client.call(collector, method)
    assert await client.call(collector, "close") is None
    await client.call(engine, "shutdown")


async def test_what_a_collector_does_not_show(client: Client, engine: Ref) -> None:
    collector = await client.call(engine, "add_request", "r", "hi", sampling(max_tokens=1))
    assert (await client.call(collector, "request_id")).startswith("r-")
    for name in ("put", "output", "ready", "engine", "released", "_inner", "aggregate"):
        with pytest.raises(Failed, match="NOT_FOUND"):
            await client.call(collector, name)
    with pytest.raises(Failed, match="INVALID"):
        await client.call(collector, "get", 1)


async def test_what_is_refused_leaves_no_collector(client: Client, engine: Ref) -> None:
    before = (await client.call("Worker", "status"))["references"]
    for arguments in (["r", "", sampling()], ["r", "hi", 5], [5, "hi", sampling()]):
        with pytest.raises(Failed, match="INVALID"):
            await client.call(engine, "add_request", *arguments)
    assert (await client.call("Worker", "status"))["references"] == before


async def test_add_request_of_vllms_own_is_refused(client: Client, engine: Ref) -> None:
    with pytest.raises(Failed, match=r"UNSUPPORTED.*use add_request"):
        await client.call(engine, "_add_request", {}, None, None, 0, None)
    for name in ("_core", "_drain_requests_for_elastic_ep", "__init__"):
        with pytest.raises(Failed, match="NOT_FOUND"):
            await client.call(engine, name)
