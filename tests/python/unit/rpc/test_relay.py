"""Whom the door hands on to gRPC's server: bytes go both ways, at the pace of the slower."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from python_worker.rpc import door
from python_worker.rpc.door import Arrival
from python_worker.rpc.relay import Relay
from tests.python.support.native import (
    PREFACE,
    settings,
)

ON_UVLOOP = True

MEGABYTE = 1024 * 1024

#: More than the sockets on the way take by themselves.
MUCH = bytes(range(256)) * (8 * MEGABYTE // 256)

#: What a transport of the loop holds before it says that it is enough, and what is read at once.
HIGH_WATER, AT_ONCE = 64 * 1024, 256 * 1024


class Watched(Relay):
    """A relay that is watched."""

    #: All there are: that of the client, then that of gRPC.
    ends: ClassVar[list[Watched]] = []
    #: What a socket takes; None for the system's choice.
    socket_bytes: ClassVar[int | None] = None

    def __init__(self, *args: Relay) -> None:
        super().__init__(*args)
        self.full = asyncio.Event()
        self.lost = asyncio.Event()
        #: The most that waited to be written here.
        self.most = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.ends.append(self)
        if self.socket_bytes is not None:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.socket_bytes)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        for end in self.ends:
            end.most = max(end.most, end.transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        super().pause_writing()
        self.full.set()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.lost.set()


class Way:
    """A door on a socket, and a server of the test's where gRPC would be.

    Attributes:
        address: Of the door.
        grpc: Of the server.
        arrived: What has connected with the server.
        relays: Those that last.
    """

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "door")
        self.grpc = str(folder / "grpc")
        self.arrived: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )
        self.writers: list[asyncio.StreamWriter] = []
        self.relays: set[Relay] = set()

    async def keep(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes who comes."""
        self.writers.append(writer)
        await self.arrived.put((reader, writer))

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Comes to the door."""
        reader, writer = await asyncio.open_unix_connection(self.address)
        self.writers.append(writer)
        return reader, writer


@asynccontextmanager
async def opened(way: Way) -> AsyncIterator[Way]:
    loop = asyncio.get_running_loop()
    entrance = await loop.create_unix_server(
        lambda: Arrival(asyncio.Protocol, way.grpc, way.relays), way.address
    )
    try:
        yield way
    finally:
        entrance.close()
        for writer in way.writers:
            writer.transport.abort()
        for end in Watched.ends:
            end.transport.abort()
        # Closed when they hear of it, at the end of the turn.
        await asyncio.gather(*(end.lost.wait() for end in Watched.ends))


@pytest.fixture
async def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Way]:
    """A way on which anybody may come."""
    monkeypatch.setattr(door, "Relay", Watched)
    monkeypatch.setattr(Watched, "ends", [])
    way = Way(tmp_path)
    server = await asyncio.start_unix_server(way.keep, way.grpc)
    async with opened(way):
        yield way
    server.close()


async def slowly(reader: asyncio.StreamReader) -> bytes:
    """All there is, in small pieces."""
    taken = bytearray()
    while piece := await reader.read(16 * 1024):
        taken += piece
    return bytes(taken)


async def test_bytes_go_both_ways(way: Way) -> None:
    reader, writer = await way.client()
    writer.write(PREFACE + settings())
    inner, back = await way.arrived.get()
    assert await inner.readexactly(33) == PREFACE + settings()
    for n in range(100):
        writer.write(b"ask%d" % n)
        assert await inner.read(100) == b"ask%d" % n
        back.write(b"answer%d" % n)
        assert await reader.read(100) == b"answer%d" % n


async def test_a_client_that_says_all_at_once_is_read_as_fast_as_it_is_taken(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of it comes with its first bytes than gRPC's socket takes."""
    monkeypatch.setattr(Watched, "socket_bytes", 4096)
    _, writer = await way.client()
    writer.write(PREFACE + settings() + MUCH)
    writer.write_eof()
    inner, _ = await way.arrived.get()
    assert await slowly(inner) == PREFACE + settings() + MUCH
    assert Watched.ends[1].full.is_set()
    assert Watched.ends[1].most <= HIGH_WATER + 2 * AT_ONCE


async def test_a_slow_server_slows_its_client(way: Way) -> None:
    _, writer = await way.client()
    writer.write(PREFACE + settings())
    inner, _ = await way.arrived.get()
    await inner.readexactly(33)
    writer.write(MUCH)
    writer.write_eof()
    await Watched.ends[1].full.wait()
    assert await slowly(inner) == MUCH
    assert Watched.ends[1].most <= HIGH_WATER + AT_ONCE


async def test_a_slow_client_slows_the_server(way: Way) -> None:
    reader, writer = await way.client()
    writer.write(PREFACE + settings())
    _, back = await way.arrived.get()
    back.write(MUCH)
    back.write_eof()
    await Watched.ends[0].full.wait()
    assert await slowly(reader) == MUCH
    assert Watched.ends[0].most <= HIGH_WATER + AT_ONCE


async def test_who_is_slow_one_way_may_be_quick_the_other(way: Way) -> None:
    reader, writer = await way.client()
    writer.write(PREFACE + settings())
    inner, back = await way.arrived.get()
    await inner.readexactly(33)
    back.write(MUCH)
    await Watched.ends[0].full.wait()
    writer.write(b"quick")
    assert await inner.readexactly(5) == b"quick"
    back.write_eof()
    assert await slowly(reader) == MUCH


async def test_a_client_that_has_said_all_gets_its_answer(way: Way) -> None:
    reader, writer = await way.client()
    writer.write(PREFACE + settings())
    writer.write_eof()
    inner, back = await way.arrived.get()
    assert await inner.read() == PREFACE + settings()
    back.write(MUCH)
    await Watched.ends[0].full.wait()
    back.write_eof()
    assert await slowly(reader) == MUCH
    for end in Watched.ends:
        await end.lost.wait()


async def test_a_server_that_has_said_all_hears_the_rest(way: Way) -> None:
    reader, writer = await way.client()
    writer.write(PREFACE + settings())
    inner, back = await way.arrived.get()
    back.write(b"goodbye")
    back.write_eof()
    assert await reader.read() == b"goodbye"
    writer.write(MUCH)
    writer.write_eof()
    assert await inner.read() == PREFACE + settings() + MUCH
    for end in Watched.ends:
        await end.lost.wait()


async def test_when_one_breaks_off_the_other_is_let_go(way: Way) -> None:
    """Unlike one that has only said all: it is told by what it has not read."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(way.address)
        client.sendall(PREFACE + settings())
        inner, back = await way.arrived.get()
        back.write(b"unread")
        assert await asyncio.to_thread(client.recv, 100, socket.MSG_PEEK) == b"unread"
    assert await inner.read() == PREFACE + settings()
    for end in Watched.ends:
        await end.lost.wait()


async def test_what_was_said_before_the_end_arrives(way: Way) -> None:
    """The end overtakes nothing, however slow the reader is."""
    reader, writer = await way.client()
    writer.write(PREFACE + settings())
    _, back = await way.arrived.get()
    back.write(MUCH)
    await Watched.ends[0].full.wait()
    back.close()
    assert await slowly(reader) == MUCH


async def test_a_relay_is_there_until_its_client_has_everything_and_closes(way: Way) -> None:
    """A worker that stops waits for that."""
    reader, writer = await way.client()
    writer.write(PREFACE + settings())
    _, back = await way.arrived.get()
    [near] = way.relays
    back.write(MUCH)
    await Watched.ends[0].full.wait()
    back.close()
    # gRPC has closed, and the client has not read all.
    for _ in range(100):
        await asyncio.sleep(0)
    assert way.relays == {near}
    assert not near.gone.done()
    assert await slowly(reader) == MUCH
    writer.close()
    await near.gone
    await asyncio.sleep(0)
    assert way.relays == set()


async def test_what_waits_to_be_written_is_not_lost_with_the_end_it_came_from(way: Way) -> None:
    reader, writer = await way.client()
    writer.write(PREFACE + settings())
    writer.write_eof()
    _, back = await way.arrived.get()
    said = 0
    while not (Watched.ends and Watched.ends[0].transport.get_write_buffer_size()):
        back.write(bytes(4096))
        said += 4096
        await asyncio.sleep(0)
    assert not Watched.ends[0].full.is_set(), "it is read to its end"
    back.close()
    await Watched.ends[1].lost.wait()
    assert Watched.ends[0].transport.get_write_buffer_size()
    assert len(await slowly(reader)) == said


async def test_where_grpc_is_not_to_be_had_the_client_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "Relay", Watched)
    monkeypatch.setattr(Watched, "ends", [])
    async with opened(Way(tmp_path)) as way:
        reader, writer = await way.client()
        writer.write(PREFACE + settings())
        assert await reader.read() == b""
        await Watched.ends[0].lost.wait()
    assert "gRPC cannot be reached" in caplog.text


@pytest.mark.parametrize("how", ["closed", "ended", "reset"])
async def test_a_client_may_leave_before_grpc_is_reached(how: str, way: Way) -> None:
    """All it does is done before the loop turns: it is gone when the relay begins to connect."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(way.address)
        client.sendall(PREFACE + settings() + b"and more")
        if how == "ended":
            client.shutdown(socket.SHUT_WR)
        elif how == "closed":
            client.close()
        else:
            client.shutdown(socket.SHUT_RDWR)
        inner, back = await way.arrived.get()
        assert await inner.read() == PREFACE + settings() + b"and more"
        if how == "ended":
            back.write(b"nevertheless")
            back.close()
            assert await asyncio.to_thread(client.recv, 100) == b"nevertheless"
        back.close()
    for end in Watched.ends:
        await end.lost.wait()


async def test_a_client_may_be_let_go_while_grpc_is_reached(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = Relay.reach

    def and_end(self: Relay, path: str, said: bytes) -> None:
        reach(self, path, said)
        self.transport.abort()

    monkeypatch.setattr(Watched, "reach", and_end)
    _, writer = await way.client()
    writer.write(PREFACE + settings())
    inner, _ = await way.arrived.get()
    assert await inner.read() == b""
    for end in Watched.ends:
        await end.lost.wait()


async def test_a_server_may_speak_before_anybody_knows_that_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gRPC says first may come in the turn in which it is connected with."""
    said = threading.Event()
    monkeypatch.setattr(door, "Relay", Watched)
    monkeypatch.setattr(Watched, "ends", [])
    connection_made = Watched.connection_made

    def and_wait(self: Watched, transport: asyncio.BaseTransport) -> None:
        connection_made(self, transport)
        if len(self.ends) == 2:
            assert said.wait(60)

    monkeypatch.setattr(Watched, "connection_made", and_wait)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "grpc"))
        listener.listen()

        def speak() -> socket.socket:
            connection, _ = listener.accept()
            connection.sendall(b"first")
            said.set()
            return connection

        speaking = asyncio.ensure_future(asyncio.to_thread(speak))
        async with opened(Way(tmp_path)) as way:
            reader, writer = await way.client()
            writer.write(PREFACE + settings())
            assert await reader.readexactly(5) == b"first"
            with await speaking as connection:
                assert connection.recv(100) == PREFACE + settings()
