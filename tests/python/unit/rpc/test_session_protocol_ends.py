"""How native connections end: clients that are refused or leave, and the worker's own end."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2

from python_worker.buffers import LARGE
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.rpc import preface
from python_worker.rpc import session_protocol as module
from python_worker.rpc.sessions import first_frame
from python_worker.wire.limits import MAX_MESSAGE_BYTES
from tests.python.support.client import PROTOCOL_VERSION, Session, request
from tests.python.support.native import (
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    EOF,
    GOAWAY,
    HEADERS,
    LARGEST_WINDOW,
    PREFACE,
    RST_STREAM,
    NativeRpc,
    http2_frame,
    message,
    settings,
    window_update,
)
from tests.python.support.served import (
    GREETING,
    GRPC_ADDRESS,
    HELLO,
    OPENING,
    TOKEN,
    Served,
    Transport,
    numbers,
    until,
)

ON_UVLOOP = True

# --- Who is refused --------------------------------------------------------------------

FRAMES: dict[str, tuple[list[pb.ClientFrame], grpc.StatusCode, str]] = {
    "another version": (
        [pb.ClientFrame(hello=pb.ClientHello(protocol_version=77, token=TOKEN))],
        grpc.StatusCode.FAILED_PRECONDITION,
        "version 77, the worker 1",
    ),
    "another token": (
        [pb.ClientFrame(hello=pb.ClientHello(protocol_version=PROTOCOL_VERSION, token="x"))],
        grpc.StatusCode.UNAUTHENTICATED,
        "token",
    ),
    "an id of a call that is none": (
        [pb.ClientFrame(hello=HELLO), pb.ClientFrame(calls=[pb.StartCall(id=0)])],
        grpc.StatusCode.FAILED_PRECONDITION,
        "call id 0",
    ),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_who_breaks_the_protocol_is_told_and_left(
    name: str, served: Served, rpc: NativeRpc
) -> None:
    frames, status, words = FRAMES[name]
    for frame in frames:
        await rpc.write(frame)
    for _ in frames[1:]:
        assert (await rpc.read()).HasField("hello")
    failure = (await rpc.read()).failure
    refused = status == grpc.StatusCode.UNAUTHENTICATED
    kind = pb.FAILURE_KIND_UNAUTHENTICATED if refused else pb.FAILURE_KIND_PROTOCOL
    assert failure.kind == kind
    assert words in failure.message
    assert await rpc.read() is EOF
    assert await rpc.code() == status
    assert await rpc.details() == failure.message
    assert rpc.goaway == (0, "")
    await served.wait_left()


FIRST_MESSAGES = {
    "an empty message": b"",
    "a call before the hello": pb.ClientFrame(calls=[pb.StartCall(id=1)]).SerializeToString(),
    "a request for health": health_pb2.HealthCheckRequest(service="x").SerializeToString(),
    "a single call": request("Worker", "status").SerializeToString(),
    "no ClientFrame": b"\xff" * 100,
    "no ClientFrame, and a large one": b"\xff" * 300_000,
}


@pytest.mark.parametrize("name", FIRST_MESSAGES)
async def test_a_first_message_that_is_no_hello_is_told_where_grpc_is_served(
    name: str, served: Served, rpc: NativeRpc, caplog: pytest.LogCaptureFixture
) -> None:
    rpc.send(message(FIRST_MESSAGES[name]))
    assert await rpc.read() is EOF
    assert await rpc.code() == grpc.StatusCode.UNIMPLEMENTED
    details = await rpc.details()
    assert "not the hello of a session" in details
    assert f"gRPC is served at {GRPC_ADDRESS}: use that address" in details
    assert details in caplog.text
    assert rpc.goaway == (0, "")
    await served.wait_left()


async def test_a_request_without_a_message_is_told_where_grpc_is_served(
    served: Served, rpc: NativeRpc
) -> None:
    await rpc.end_request()
    assert await rpc.code() == grpc.StatusCode.UNIMPLEMENTED
    assert GRPC_ADDRESS in await rpc.details()
    await served.wait_left()


async def test_a_message_after_the_hello_that_is_no_frame_ends_the_session(
    served: Served, rpc: NativeRpc, session: Session
) -> None:
    rpc.send(message(b"\xff" * 300_000))
    assert await rpc.code() == grpc.StatusCode.INTERNAL
    assert "a frame that is no ClientFrame" in await rpc.details()
    await served.wait_left()


async def test_a_connection_without_a_hello_is_closed_when_its_time_is_up(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "HELLO_SECONDS", 0.01)
    rpc = NativeRpc(served.address)
    await rpc.wait_end()
    assert rpc.goaway == (0, "no hello of a session in 0 s")
    assert "sent no hello of a session in 0 s" in caplog.text
    await served.wait_left()


async def test_a_session_has_no_such_limit(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELLO_SECONDS", 0.05)
    rpc = NativeRpc(served.address)
    async with Session(rpc, HELLO) as session:
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, done.set)
        await done.wait()
        assert await session.call("Thing", "echo", 1) == [1]
    await rpc.close()


MESSAGES: dict[str, tuple[bytes, grpc.StatusCode, str]] = {
    "compressed": (message(b"x", flag=1), grpc.StatusCode.UNIMPLEMENTED, "compressed"),
    "too large": (
        message(b"", claim=MAX_MESSAGE_BYTES + 1),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        str(MAX_MESSAGE_BYTES),
    ),
}


@pytest.mark.parametrize("greeted", [False, True])
@pytest.mark.parametrize("name", MESSAGES)
async def test_a_message_that_cannot_be_taken_ends_it_with_a_status(
    name: str, greeted: bool, served: Served, rpc: NativeRpc
) -> None:
    data, status, words = MESSAGES[name]
    if greeted:
        await rpc.write(pb.ClientFrame(hello=HELLO))
        assert (await rpc.read()).HasField("hello")
    rpc.send(data)
    assert await rpc.read() is EOF
    assert await rpc.code() == status
    assert words in await rpc.details()
    assert rpc.goaway == (0, "")
    await served.wait_left()


BREACHES: dict[str, tuple[bytes, int, str]] = {
    "a frame that is too large": (b"\x10\0\1" + bytes((DATA, 0, 0, 0, 0, 1)), 6, "1048577"),
    "data of another stream": (http2_frame(DATA, 0, 3, b"x"), 1, "not open"),
    "a window of nothing": (window_update(0, 0), 1, "zero"),
    "a window that is too large": (window_update(1, LARGEST_WINDOW), 3, "2147483647"),
    "no frames at all": (b"GET / HTTP/1.1\r\n\r\n", 6, "bytes"),
}


@pytest.mark.parametrize("name", BREACHES)
async def test_who_breaks_http_2_is_told_why(
    name: str, served: Served, rpc: NativeRpc, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    data, code, words = BREACHES[name]
    call = await session.start("Thing", "hold")
    await until(lambda: served.running)
    rpc.send(data)
    await rpc.wait_end()
    assert rpc.goaway is not None
    assert rpc.goaway[0] == code
    assert words in rpc.goaway[1]
    assert f"broke HTTP/2: {rpc.goaway[1]}" in caplog.text
    assert call.waiting.empty()
    await served.wait_left()


async def test_data_before_the_request_breaks_http_2(served: Served) -> None:
    reader, writer = await asyncio.open_unix_connection(served.address.removeprefix("unix:"))
    writer.write(PREFACE + settings() + message(GREETING))
    assert (await reader.read()).endswith(b"stream 1 is not open")
    writer.close()


async def test_of_who_is_left_nothing_is_taken_any_more(served: Served, rpc: NativeRpc) -> None:
    """What it had sent before it knew, in the same read and later."""
    start = pb.ClientFrame(calls=[pb.StartCall(id=1, request=request("Thing", "hold"))])
    call = message(start.SerializeToString())
    rpc.send(message(b"\xff") + message(GREETING) + call)
    assert await rpc.read() is EOF
    transport = Transport(served.connection())
    transport.deliver(OPENING + message(b"\xff"))
    assert [frame[0] for frame in transport.frames()][3:] == [HEADERS, HEADERS, GOAWAY]
    said = bytes(transport.said)
    transport.deliver(message(GREETING) + call)
    transport.protocol.connection_lost(None)
    assert transport.said == said
    assert len(served.clients) == served.running == 0


async def test_who_is_left_and_stays_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preface, "LINGER_SECONDS", 0.01)
    reader, writer = await asyncio.open_unix_connection(served.address.removeprefix("unix:"))
    writer.write(PREFACE + OPENING + message(b""))
    said = await reader.read()
    assert b"hello" in said
    await served.wait_left()
    writer.close()


async def test_who_is_left_may_read_why_before_it_closes(served: Served) -> None:
    """On TCP, closing at once would throw away what the client has not read."""
    reader, writer = await asyncio.open_unix_connection(served.address.removeprefix("unix:"))
    writer.write(PREFACE + OPENING + message(b"\xff"))
    assert b"not the hello of a session" in await reader.read()
    assert len(served.connections) == 1
    writer.close()
    await served.wait_left()


# --- Who leaves ---------------------------------------------------------------------------

LEAVING: dict[str, Callable[[NativeRpc], object]] = {
    "resets": lambda rpc: rpc.send(http2_frame(RST_STREAM, 0, 1, struct.pack(">I", 8))),
    "has said all": lambda rpc: rpc.send(http2_frame(DATA, END_STREAM, 1, b"")),
    "has said all in trailers": lambda rpc: rpc.send(
        http2_frame(HEADERS, END_STREAM | END_HEADERS, 1, b"")
    ),
    "ends the connection": lambda rpc: rpc._writer.write_eof(),
    "breaks off": lambda rpc: rpc._writer.transport.abort(),
}


@pytest.mark.parametrize("how", LEAVING)
async def test_who_leaves_takes_everything_along(
    how: str, served: Served, rpc: NativeRpc, session: Session
) -> None:
    for _ in range(5):
        await session.start("Thing", "hold")
    stream = await session.start("Thing", "stream", credit=3)
    await numbers(session, stream.id, 3)
    await until(lambda: len(served.references) == 5)
    other = NativeRpc(served.address)
    async with Session(other, HELLO) as beside:
        await beside.start("Thing", "hold")
        await until(lambda: len(served.references) == 6)
        LEAVING[how](rpc)
        await rpc.wait_end()
        await until(lambda: len(served.connections) == 1)
        await until(lambda: (len(served.references), served.running) == (1, 1))
        assert await beside.call("Thing", "echo", 1) == [1]
    await other.close()
    if how.startswith("has said all"):
        assert await rpc.code() == grpc.StatusCode.OK
    else:
        assert not rpc.trailers, "of a stream that is no more nothing is said"


async def test_who_leaves_without_having_read_takes_everything_along(
    served: Served, rpc: NativeRpc, session: Session
) -> None:
    rpc.reading.clear()
    await session.start("Thing", "hold")
    await session.start("Thing", "stream", credit=100)
    await until(lambda: served.items == 100)
    rpc._writer.transport.abort()
    await served.wait_left()
    rpc.reading.set()


async def test_who_leaves_before_its_hello_was_never_there(served: Served, rpc: NativeRpc) -> None:
    await until(lambda: served.connections)
    await rpc.close()
    await served.wait_left()


# --- When the worker stops ------------------------------------------------------------------


async def test_stopping_says_so(served: Served, rpc: NativeRpc, session: Session) -> None:
    await session.start("Thing", "hold")
    await until(lambda: served.running)
    await served.made[-1].stop(60)
    assert await rpc.code() == grpc.StatusCode.UNAVAILABLE
    assert await rpc.details() == "the worker has stopped"
    await served.wait_left()


@pytest.mark.parametrize("window", [LARGEST_WINDOW, DEFAULT_WINDOW])
async def test_stopping_lets_leave_what_was_said(window: int, served: Served) -> None:
    """What gathered for a client that reads slowly, or opens its window slowly."""
    rpc = NativeRpc(served.address, window=window)
    async with Session(rpc, HELLO) as session:
        rpc.reading.clear()
        stream = await session.start("Thing", "stream", credit=100)
        await until(lambda: served.items == 100)
        stopping = asyncio.ensure_future(served.made[-1].stop(60))
        await asyncio.sleep(0)
        assert not stopping.done()
        rpc.reading.set()
        await stopping
        assert served.buffered == 0, "the worker's process ends now"
        assert await numbers(session, stream.id, 100) == list(range(100))
        assert await rpc.code() == grpc.StatusCode.UNAVAILABLE
    await rpc.close()


async def test_stopping_waits_for_the_socket_too(
    served: Served, rpc: NativeRpc, session: Session
) -> None:
    """All is with the transport, and nothing gathers any more."""
    rpc.reading.clear()
    stream = await session.start("Thing", "stream", credit=10)
    await until(lambda: served.items == 10)
    await until(lambda: served.buffered)
    stopping = asyncio.ensure_future(served.made[-1].stop(60))
    await asyncio.sleep(0)
    assert not stopping.done()
    rpc.reading.set()
    await stopping
    assert served.buffered == 0, "the worker's process ends now"
    assert await numbers(session, stream.id, 10) == list(range(10))
    assert await rpc.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("credit", [10, 100])
async def test_stopping_waits_for_nobody_for_ever(
    credit: int, served: Served, rpc: NativeRpc, session: Session
) -> None:
    rpc.reading.clear()
    await session.start("Thing", "stream", credit=credit)
    await until(lambda: served.items == credit)
    await served.made[-1].stop(0.05)
    assert len(served.clients) == 0
    rpc.reading.set()


async def test_stopping_who_is_gone_or_refused_is_nothing(served: Served, rpc: NativeRpc) -> None:
    await rpc.write(pb.ClientFrame(hello=pb.ClientHello(protocol_version=77, token=TOKEN)))
    assert (await rpc.read()).failure.message
    await served.made[-1].stop(60)
    await rpc.close()
    await served.wait_left()
    await served.made[-1].stop(60)
    assert await rpc.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_who_resets_its_request_is_sent_nothing_more_of_it() -> None:
    """Also no answer that was there when the reset came."""
    transport = Transport(Served().connection())
    transport.deliver(OPENING + message(GREETING))
    transport.said.clear()
    start = pb.StartCall(id=1, request=request("Thing", "at_once", [1]))
    call = message(pb.ClientFrame(calls=[start]).SerializeToString())
    transport.deliver(call + http2_frame(RST_STREAM, 0, 1, (8).to_bytes(4)))
    assert DATA not in [kind for kind, _, _, _ in transport.frames()]
    assert not transport.open


async def test_a_first_message_that_is_larger_than_any_hello_is_not_parsed(
    served: Served, rpc: NativeRpc
) -> None:
    hello = pb.ClientHello(
        protocol_version=PROTOCOL_VERSION, token=TOKEN, client_version="x" * LARGE
    )
    data = pb.ClientFrame(hello=hello).SerializeToString()
    assert first_frame(data) == pb.ClientFrame()
    await rpc.send_message(data)
    assert await rpc.code() == grpc.StatusCode.UNIMPLEMENTED
    assert len(served.clients) == 0
