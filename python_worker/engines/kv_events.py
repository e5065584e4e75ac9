"""``kv_events``, a method that the worker adds to engines: what is stored in the KV cache.

An engine that is built with ``kv_events_config`` publishes the changes of its KV cache at each step
over ZeroMQ, with one publisher for each data parallel rank (vLLM's ``distributed/kv_events.py``).
This subscribes to them for a client: an application can send a prompt where its prefix is cached.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.streaming.admission import ADMISSION

# ZeroMQ comes with vLLM. A worker without it starts too.
if TYPE_CHECKING:
    from zmq.asyncio import Context, Socket

#: Batches that wait for a slow client. More are dropped, and counted as missed.
WAITING_BATCHES = 10_000

#: A sequence number takes eight bytes.
MAX_SEQUENCE = 2**63 - 1

_END = (-1).to_bytes(8, "big", signed=True)

# vLLM binds these; to any other address it connects, and somebody else publishes there.
_BOUND = re.compile(r"\*|::|^(ipc|inproc)://")


@dataclass(slots=True)
class KVEventBatch:
    """The changes of the KV cache in one step of an engine.

    Attributes:
        data_parallel_rank: Whose cache it is.
        sequence: The number of the batch, of this rank; they count from 0.
        missed: How many batches before this one were lost, because the client was too slow.
        timestamp: When they were made, in seconds since 1970.
        events: Maps with vLLM's fields, by the names of its classes in ``type``: ``BlockStored``
            (``block_hashes``, ``parent_block_hash``, ``token_ids``, ``block_size``, ``medium``,
            ``lora_name`` ...), ``BlockRemoved`` (``block_hashes``, ``medium`` ...) and
            ``AllBlocksCleared``.
    """

    data_parallel_rank: int
    sequence: int
    missed: int
    timestamp: float
    events: list[dict[str, Any]]


async def kv_events(engine: Any, since: int | None = None) -> AsyncGenerator[KVEventBatch, None]:
    """The changes of an engine's KV cache, from now on.

    Args:
        engine: The engine.
        since: Begin with this sequence number of each rank, as far as vLLM keeps them
            (``buffer_steps``); None for what comes after the subscription.

    Raises:
        InvalidArgument: ``since`` is no sequence number.
        Unsupported: The engine publishes none, or nothing that can be replayed.
    """
    _check_since(since)
    sources = _sources_of(engine)
    replays = [_replay_of(rank, source) for rank, source in sources.items() if since is not None]
    from zmq.asyncio import Context

    reader = _Reader()
    with Context() as context:
        async with _subscribed(context, sources) as subscriber:
            if (admission := ADMISSION.get()) is not None:
                admission.accept()
            for address in replays:
                async for frames in _replayed(context, address, since or 0):
                    yield reader.read(frames)
            while True:
                frames = await subscriber.recv_multipart()
                if (batch := reader.read_new(frames)) is not None:
                    yield batch


class _Reader:
    """Makes batches of frames, and counts what was lost between them."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def read_new(self, frames: list[bytes]) -> KVEventBatch | None:
        """A batch; None of one that was replayed already."""
        batch = self._decode(frames)
        last = self._last.get(batch.data_parallel_rank)
        if last is not None and batch.sequence <= last:
            return None
        return self._counted(batch)

    def read(self, frames: list[bytes]) -> KVEventBatch:
        """A batch that is replayed."""
        return self._counted(self._decode(frames))

    def _counted(self, batch: KVEventBatch) -> KVEventBatch:
        last = self._last.get(batch.data_parallel_rank)
        batch.missed = 0 if last is None else batch.sequence - last - 1
        self._last[batch.data_parallel_rank] = batch.sequence
        return batch

    def _decode(self, frames: list[bytes]) -> KVEventBatch:
        _topic, sequence, payload = frames
        timestamp, events, *rank = msgpack.unpackb(payload, strict_map_key=False)
        return KVEventBatch(
            data_parallel_rank=(rank[0] if rank else None) or 0,
            sequence=int.from_bytes(sequence, "big"),
            missed=0,
            timestamp=timestamp,
            events=events,
        )


def _check_since(since: object) -> None:
    if since is None or (type(since) is int and 0 <= since <= MAX_SEQUENCE):
        return
    got = type(since).__name__ if type(since) is not int else str(since)
    raise InvalidArgument(
        f"since: wants a sequence number of 0 to {MAX_SEQUENCE}, got {got[:40]}", parameter="since"
    )


def _sources_of(engine: Any) -> dict[int, Any]:
    """The configuration of each rank's publisher, as it runs."""
    sources: Mapping[int, Any] = getattr(engine, "get_kv_event_sources", dict)()
    if not sources:
        raise Unsupported(
            "this engine publishes no KV cache events; build it with "
            'kv_events_config={"enable_kv_cache_events": True, "endpoint": "ipc:///a/path"}'
        )
    for source in sources.values():
        if not _BOUND.search(source.endpoint):
            raise Unsupported(
                f"this engine publishes to {source.endpoint}, which is not its own: subscribe there"
            )
    return dict(sources)


def _replay_of(rank: int, source: Any) -> str:
    if source.replay_endpoint is None:
        raise Unsupported(
            f"rank {rank} replays no KV cache events; build the engine with a replay_endpoint in "
            "kv_events_config, or leave since out"
        )
    return local(source.replay_endpoint)


def local(endpoint: str) -> str:
    """The address at which to reach what is bound to an endpoint, on this machine."""
    return endpoint.replace("//*", "//127.0.0.1").replace("//[::]", "//[::1]")


@asynccontextmanager
async def _subscribed(context: Context, sources: Mapping[int, Any]) -> AsyncIterator[Socket]:
    import zmq

    with context.socket(zmq.SUB) as socket:
        _configure(socket)
        with socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED) as connected:
            for source in sources.values():
                socket.connect(local(source.endpoint))
                socket.setsockopt_string(zmq.SUBSCRIBE, source.topic)
            # What is published before would not come.
            for _ in sources:
                await connected.recv_multipart()
            socket.disable_monitor()
        yield socket


async def _replayed(context: Context, address: str, since: int) -> AsyncIterator[list[bytes]]:
    """The batches that a publisher keeps, topic, sequence number and payload of each."""
    import zmq

    with context.socket(zmq.DEALER) as socket:
        _configure(socket)
        socket.connect(address)
        await socket.send_multipart([b"", since.to_bytes(8, "big")])
        while True:
            _empty, *frames = await socket.recv_multipart()
            if frames[1] == _END:
                return
            yield frames


def _configure(socket: Socket) -> None:
    import zmq

    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, WAITING_BATCHES)
    socket.setsockopt(zmq.IPV6, 1)
