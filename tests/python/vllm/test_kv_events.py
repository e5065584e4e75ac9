"""``kv_events`` at vLLM's own publisher, without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vllm.config.kv_events import KVEventsConfig
from vllm.distributed.kv_events import (
    AllBlocksCleared,
    BlockRemoved,
    BlockStored,
    KVEventBatch,
    ZmqEventPublisher,
)

from python_worker.engines.kv_events import MAX_SEQUENCE, kv_events, local
from python_worker.exceptions import InvalidArgument, Unsupported

STORED = BlockStored(
    block_hashes=[b"\x01\x02", 7],
    parent_block_hash=None,
    token_ids=[1, 2, 3],
    block_size=16,
    lora_id=None,
    medium="CPU",
    lora_name="meow",
    extra_keys=[("meow",), None],
)


class Publishing:
    """Has publishers as an engine with so many data parallel ranks has."""

    def __init__(self, publishers: list[ZmqEventPublisher]) -> None:
        self.publishers = publishers

    def get_kv_event_sources(self) -> dict[int, KVEventsConfig]:
        return {rank: it.get_publisher_config() for rank, it in enumerate(self.publishers)}

    def publish(self, *events: Any, rank: int = 0) -> None:
        self.publishers[rank].publish(KVEventBatch(ts=1.5, events=list(events)))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Publishing]:
    publisher = ZmqEventPublisher(
        0, f"ipc://{tmp_path}/events", f"ipc://{tmp_path}/replay", topic="kv"
    )
    yield Publishing([publisher])
    publisher.shutdown()


async def begun(engine: Any, since: int | None = None) -> tuple[Any, asyncio.Future[Any]]:
    """A subscription, and its first batch, which is waited for."""
    items = kv_events(engine, since)
    first = asyncio.ensure_future(anext(items))
    return items, first


async def first_of(engine: Publishing, first: asyncio.Future[Any], *events: Any) -> Any:
    """Publish until the subscription has begun. A publisher does not tell when it has."""
    while not first.done():
        engine.publish(*events)
        await asyncio.wait([first], timeout=0.02)
    return first.result()


async def test_batches_come_in_order_with_every_field(engine: Publishing) -> None:
    items, first = await begun(engine)
    batch = await first_of(engine, first, STORED)
    assert (batch.data_parallel_rank, batch.missed, batch.timestamp) == (0, 0, 1.5)
    (stored,) = batch.events
    assert {name: stored[name] for name in ("type", "token_ids", "block_size", "lora_name")} == {
        "type": "BlockStored",
        "token_ids": [1, 2, 3],
        "block_size": 16,
        "lora_name": "meow",
    }
    assert stored["block_hashes"] == [b"\x01\x02", 7]
    assert stored["extra_keys"] == [["meow"], None]

    engine.publish(BlockRemoved(block_hashes=[7], medium="CPU"), AllBlocksCleared())
    while (last := await anext(items)).events[0]["type"] == "BlockStored":
        assert last.missed == 0
    assert [it["type"] for it in last.events] == ["BlockRemoved", "AllBlocksCleared"]
    await items.aclose()


async def test_what_came_before_is_replayed_and_nothing_comes_twice(engine: Publishing) -> None:
    for number in range(5):
        engine.publish(BlockRemoved(block_hashes=[number], medium=None))
    # The publisher's thread has sent them: none comes when the subscription has begun.
    await asyncio.to_thread(engine.publishers[0]._event_queue.join)
    items, first = await begun(engine, since=2)
    batches = [await first, await anext(items), await anext(items)]
    assert [it.sequence for it in batches] == [2, 3, 4]
    assert [it.events[0]["block_hashes"] for it in batches] == [[2], [3], [4]]
    rest = asyncio.ensure_future(anext(items))
    batch = await first_of(engine, rest, STORED)
    assert batch.sequence == 5
    assert batch.missed == 0
    await items.aclose()


async def test_each_rank_counts_for_itself(tmp_path: Path) -> None:
    publishers = [ZmqEventPublisher(0, f"ipc://{tmp_path}/{rank}") for rank in range(2)]
    for rank, publisher in enumerate(publishers):
        publisher._data_parallel_rank = rank
    engine = Publishing(publishers)
    try:
        items = kv_events(engine)
        seen: dict[int, list[int]] = {}
        while len(seen) < 2:
            waiting = asyncio.ensure_future(anext(items))
            while not waiting.done():
                for rank in range(2):
                    engine.publish(STORED, rank=rank)
                await asyncio.wait([waiting], timeout=0.02)
            batch = waiting.result()
            seen.setdefault(batch.data_parallel_rank, []).append(batch.sequence)
            assert batch.missed == 0
        await items.aclose()
    finally:
        for publisher in publishers:
            publisher.shutdown()


async def test_a_subscription_that_is_left_closes_its_sockets(engine: Publishing) -> None:
    items, first = await begun(engine)
    await first_of(engine, first, STORED)
    waiting = asyncio.ensure_future(anext(items))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await anext(items)


class Silent:
    """Publishes nothing."""

    def get_kv_event_sources(self) -> dict[int, Any]:
        return {}


async def test_an_engine_that_publishes_nothing_is_refused() -> None:
    for engine in (Silent(), object()):
        with pytest.raises(Unsupported, match="publishes no KV cache events; build it with"):
            await anext(kv_events(engine))


async def test_a_publisher_of_somebody_else_is_named(engine: Publishing) -> None:
    class Connected:
        def get_kv_event_sources(self) -> dict[int, KVEventsConfig]:
            return {0: KVEventsConfig(True, endpoint="tcp://10.0.0.9:5557")}

    with pytest.raises(Unsupported, match=r"publishes to tcp://10.0.0.9:5557, which is not its"):
        await anext(kv_events(Connected()))


async def test_without_a_replay_since_is_refused(tmp_path: Path) -> None:
    publisher = ZmqEventPublisher(0, f"ipc://{tmp_path}/events")
    try:
        with pytest.raises(Unsupported, match="rank 0 replays no KV cache events"):
            await anext(kv_events(Publishing([publisher]), since=0))
    finally:
        publisher.shutdown()


@pytest.mark.parametrize("since", [-1, MAX_SEQUENCE + 1, True, "0", 1.0, [], 10**400])
async def test_what_is_no_sequence_number_is_refused(engine: Publishing, since: Any) -> None:
    with pytest.raises(InvalidArgument, match="since: wants a sequence number"):
        await anext(kv_events(engine, since))


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("tcp://*:5557", "tcp://127.0.0.1:5557"),
        ("tcp://[::]:5557", "tcp://[::1]:5557"),
        ("ipc:///a/path", "ipc:///a/path"),
        ("tcp://10.0.0.1:5557", "tcp://10.0.0.1:5557"),
    ],
)
def test_what_is_bound_everywhere_is_reached_at_this_machine(endpoint: str, address: str) -> None:
    assert local(endpoint) == address
