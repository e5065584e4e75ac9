"""Bytes that are nearly right, at every level of the worker's side.

Three levels: messages that protobuf reads or does not, in process; messages of a client without our
code; and the bytes of a connection, HTTP/2 and the prefix of a gRPC message included, at gRPC's
listener and at the sessions' one. The lane runs as many as fit; ``MUTATED_FRAMES=100000`` in
the environment makes it a run of minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
import stat
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest

from python_worker.dispatch.call_limit import CallLimit
from python_worker.dispatch.dispatcher import Dispatcher
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass, ServedClasses
from python_worker.exceptions import ProtocolError
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.rpc.session import Session
from tests.python.support.client import Client, request
from tests.python.support.native import (
    BOTH_WAYS,
    CONTINUATION,
    DATA,
    END_HEADERS,
    EOF,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    MAX_FRAME_SIZE,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    NativeRpc,
    connect,
    header,
    headers,
    http2_frame,
    message,
    settings,
    window_update,
)
from tests.python.support.values import Ref
from tests.python.support.worker import TOKEN, Worker

pytestmark = pytest.mark.timeout(900)

MUTATIONS = int(os.environ.get("MUTATED_FRAMES", "2000"))
IN_PROCESS = max(MUTATIONS, 20_000)
MEGABYTE = 1024 * 1024

HELLO = pb.ClientFrame(hello=pb.ClientHello(protocol_version=1, token=TOKEN))

#: MessagePack that is no value: a claim of 4 GB, an array in an array in an array, a cut ext.
BOMBS = (
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x91" * 200_000 + b"\xc0",
    b"\x81\xc0" * 100_000 + b"\xc0",
    b"\xc7\xff\x0a",
)


def frames(target: Ref | str, method: str) -> list[bytes]:
    """Frames of every kind."""
    calls = [pb.StartCall(id=n, request=request(target, method, [n]), credit=3) for n in (1, 2)]
    return [
        frame.SerializeToString()
        for frame in (
            pb.ClientFrame(calls=calls),
            pb.ClientFrame(credits=[pb.Credit(call=1, items=5)], cancels=[1, 2, 2**63]),
            pb.ClientFrame(releases=["r1", "x" * 50]),
            pb.ClientFrame(inputs=[pb.Input(call=1, element=b"\x93\x01\x02\x03")]),
            HELLO,
            *(
                pb.ClientFrame(
                    calls=[
                        pb.StartCall(
                            id=9,
                            request=pb.CallRequest(class_name="Worker", method=method, args=bomb),
                        )
                    ]
                )
                for bomb in BOMBS
            ),
        )
    ]


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Some bytes are others, are missing, or are there twice."""
    out = bytearray(data[:4096])
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(out)) if out else 0
        match dice.randrange(4):
            case 0 | 1 if out:
                out[place] = dice.randrange(256)
            case 2:
                del out[place : place + dice.randrange(1, 8)]
            case _:
                out[place:place] = out[place : place + dice.randrange(1, 8)]
    return bytes(out)


class Thing:
    """What the calls in process find."""

    async def echo(self, value: object) -> object:
        """Returns its argument."""
        return value


async def test_mutated_messages_end_calls_or_the_session() -> None:
    references = References()
    dispatcher = Dispatcher(
        references,
        ServedClasses([ServedClass(name="Worker", singleton=Thing())]),
        watches=Watches(announce=lambda notice: None),
        limit=CallLimit(1000),
    )
    ended = sent = 0

    def send() -> None:
        nonlocal sent
        while session.filled:
            frame = pb.ServerFrame.FromString(b"".join(session.next_frame()))
            sent += len(frame.replies)

    def new_session() -> Session:
        return Session(start=dispatcher.start, references=references, wake=lambda: None)

    dice = random.Random(45)
    seeds = frames("Worker", "echo")
    session = new_session()
    tracemalloc.start()
    try:
        for number in range(IN_PROCESS):
            data = mutated(dice.choice(seeds), dice)
            try:
                frame = pb.ClientFrame.FromString(data)
                session.accept(frame)
            except ProtocolError:
                ended += 1
                session.stop_calls(ProtocolError("ended"))
                await session.close()
                session = new_session()
            except Exception as error:
                # Protobuf's own: gRPC ends the rpc with it before we see a message.
                assert type(error).__name__ == "DecodeError", error  # noqa: PT017
            send()
            if number % 50 == 0:
                await asyncio.sleep(0)
        await session.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ended > 100
    assert sent > 100
    assert len(references) == 0
    assert peak < 64 * MEGABYTE


async def test_mutated_messages_of_any_client_end_with_a_status(
    client: Client, engine: Ref, worker: Worker
) -> None:
    dice = random.Random(46)
    seeds = [HELLO.SerializeToString(), *frames(engine, "echo")]
    before = worker.rss_bytes()
    codes = set()
    channel: Any = client.channel
    for number in range(MUTATIONS):
        name = ("Session", "Session", "Call", "Stream")[number % 4]
        seed = dice.choice(seeds)
        if name != "Session":
            seed = request(engine, "echo", [number]).SerializeToString()
        rpc: Any = channel.stream_stream(f"/vllm_bridge.v1.Bridge/{name}")(
            metadata=(("authorization", f"Bearer {TOKEN}"),)
        )
        try:
            if name == "Session" and number % 8:
                await rpc.write(HELLO.SerializeToString())
            await rpc.write(mutated(seed, dice))
            await rpc.done_writing()
            async with asyncio.timeout(120):
                while await rpc.read() is not EOF:
                    pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the worker has ended it
        async with asyncio.timeout(120):
            codes.add(await rpc.code())
    assert grpc.StatusCode.OK in codes, "some are whole"
    assert len(codes) > 1, "and some are not"
    assert worker.rss_bytes() - before < 64 * MEGABYTE
    await assert_idle(client, engine)


async def test_mutated_messages_of_a_native_session_end_with_a_status(
    client: Client, engine: Ref, worker: Worker
) -> None:
    dice = random.Random(48)
    seeds = [HELLO.SerializeToString(), *frames(engine, "echo")]
    before = worker.rss_bytes()
    codes = set()
    for number in range(MUTATIONS):
        rpc = NativeRpc(worker.session_address)
        first = HELLO.SerializeToString() if number % 4 else mutated(seeds[0], dice)
        with suppress(ConnectionError):  # the worker has ended it
            await rpc.send_message(first)
            await rpc.send_message(mutated(dice.choice(seeds), dice))
            await rpc.end_request()
        async with asyncio.timeout(120):
            codes.add(await rpc.code())
        assert rpc.goaway == (0, "")
    assert codes == {
        grpc.StatusCode.OK,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNAUTHENTICATED,
    }
    assert worker.rss_bytes() - before < 64 * MEGABYTE
    await assert_idle(client, engine)


async def assert_idle(client: Client, engine: Ref) -> None:
    """The worker answers, and nothing of what was sent is left in it."""
    assert await client.call(engine, "echo", 1) == 1
    async with asyncio.timeout(120):
        status = {"sessions": 1}
        while status["sessions"] or status["calls"] > 1:
            status = await client.call("Worker", "status")


# --- The bytes of a connection ---------------------------------------------------


#: What a connection begins with; the next is a request.
BEGIN = PREFACE + settings()

#: What opens a session; the next is a hello.
OPENING = BEGIN + headers("Session")

#: What a client sends up to its first call.
GREETING = OPENING + message(HELLO.SerializeToString())


async def deliver(worker: Worker, data: bytes, *, native: bool) -> bytes:
    """Sends bytes over a connection of their own; returns what the worker answered.

    Args:
        worker: The worker.
        data: The bytes.
        native: Whether to its sessions' listener; else to gRPC's.
    """
    reader, writer = await connect(worker.session_address if native else worker.address)
    try:
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(120):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


#: Frames of a flood.
FLOOD = 5_000

LIES: dict[str, Callable[[], bytes]] = {
    "2 GB": lambda: message(b"x" * 100, claim=2**31 - 1),
    "4 GB": lambda: message(b"x" * 100, claim=2**32 - 1),
    "just above": lambda: message(b"x" * 100, claim=256 * MEGABYTE + 1),
    "compressed": lambda: message(b"x" * 100, flag=1),
    "a flag of no meaning": lambda: message(b"x" * 100, flag=255),
    "never completed": lambda: message(b"x" * 100, claim=200 * MEGABYTE),
    "an empty message": lambda: message(b""),
    "a frame that is too large": lambda: b"\xff\xff\xff" + bytes([DATA, 0, 0, 0, 0, 1]) + b"x" * 99,
    "a stream that is not open": lambda: http2_frame(DATA, 0, 99, b"x" * 100),
    "a frame that never comes": lambda: b"\x0f\xff\xff" + bytes([SETTINGS, 0, 0, 0, 0, 0]),
    "a message in single bytes": lambda: (
        message(b"", claim=200 * MEGABYTE) + http2_frame(DATA, 0, 1, b"x") * FLOOD
    ),
    "a window of no size": lambda: window_update(0, 0),
    "a window of 4 GB": lambda: window_update(0, LARGEST_WINDOW) * 2,
    "a window of 2 GB in the settings": lambda: settings((INITIAL_WINDOW_SIZE, 2**31)),
    "frames of no size in the settings": lambda: settings((MAX_FRAME_SIZE, 0)),
    "headers that are none": lambda: http2_frame(HEADERS, END_HEADERS, 3, b"\xff" * 100),
    "headers without an end": lambda: (
        http2_frame(HEADERS, 0, 3, b"") + http2_frame(CONTINUATION, 0, 3, header("a", "b")) * FLOOD
    ),
    "headers that do not go on": lambda: http2_frame(HEADERS, 0, 3, b"") + message(b""),
    "a second request": lambda: headers("Session", stream=3) + http2_frame(DATA, 0, 3, b"x" * 100),
    "a flood of pings": lambda: http2_frame(PING, 0, 0, bytes(8)) * FLOOD,
    "a flood of settings": lambda: settings() * FLOOD,
    "a flood of nothing": lambda: http2_frame(DATA, 0, 1, b"") * FLOOD,
    "a reset": lambda: http2_frame(RST_STREAM, 0, 1, bytes(4)),
    "no HTTP/2": lambda: b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
}


@BOTH_WAYS
@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_in_a_prefix_or_a_frame_costs_nothing(
    lie: str, native: bool, client: Client, engine: Ref, worker: Worker
) -> None:
    data = LIES[lie]()
    before = worker.rss_bytes()
    async with client.session() as session:
        for number in range(20):
            for start in (GREETING, OPENING, BEGIN, b""):
                await deliver(worker, start + data, native=native)
            assert await session.call(engine, "echo", number) == number
    assert worker.rss_bytes() - before < 64 * MEGABYTE
    await assert_idle(client, engine)


#: What has to be answered, each megabytes of answers.
QUESTIONS: dict[str, Callable[[], bytes]] = {
    "pings": lambda: http2_frame(PING, 0, 0, bytes(8)) * 200_000,
    "settings": lambda: settings() * 200_000,
    "requests": lambda: b"".join(
        http2_frame(HEADERS, END_HEADERS, stream, b"") for stream in range(3, 400_003, 2)
    ),
}


@pytest.mark.parametrize("questions", QUESTIONS)
async def test_who_asks_without_end_and_reads_nothing_is_left(
    questions: str, client: Client, engine: Ref, worker: Worker
) -> None:
    data = GREETING + QUESTIONS[questions]()
    before = worker.rss_bytes()
    reader, writer = await connect(worker.session_address)
    try:
        writer.write(data)
        # It takes all of it, and has long ceased to answer.
        writer.transport.set_write_buffer_limits(0)
        async with asyncio.timeout(120):
            await writer.drain()
            assert await client.call(engine, "echo", 1) == 1
            assert worker.rss_bytes() - before < 16 * MEGABYTE
            said = await reader.read()
    finally:
        writer.close()
    goaway = said[said.rindex(b"\0\0\0\x0b") + 4 :]  # ENHANCE_YOUR_CALM
    assert goaway == b"too many answers are waiting to be read"
    assert len(said) < 2 * MEGABYTE
    await assert_idle(client, engine)


async def served(client: Client) -> bool:
    """Whether a call is answered; one that comes between the two servers is not, or never."""
    try:
        async with asyncio.timeout(5):
            await client.call("Worker", "status")
    except TimeoutError:
        return False
    except grpc.aio.AioRpcError as error:
        ended = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert error.code() in ended  # noqa: PT017
        return False
    return True


async def newcomer_served(worker: Worker) -> bool:
    """The same for a client that connects now."""
    async with Client(worker.address) as newcomer:
        return await served(newcomer)


async def in_time(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits until it holds; nothing tells when a server takes calls again."""
    async with asyncio.timeout(120):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_path_that_is_no_utf_8_ends_nothing(
    client: Client, engine: Ref, worker: Worker
) -> None:
    """It ends the part of gRPC that takes calls, so the worker starts another."""
    async with client.session() as session:
        thing = await client.call(engine, "make", "object")
        for _ in range(3):
            no_utf_8 = OPENING.replace(b"Bridge/Session", b"Bridge/\xffession")
            await deliver(worker, no_utf_8, native=False)
            await in_time(lambda: newcomer_served(worker))
            assert await session.call(engine, "echo", 1) == 1
    # Its channel may have to connect again first.
    await in_time(lambda: served(client))
    assert await client.call(thing, "greet") == "thing greets you"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in worker.sockets()]
    assert modes == [0o600, 0o600]
    await client.call("Worker", "release", thing.id)


@BOTH_WAYS
async def test_mutated_bytes_of_a_connection_end_that_connection_only(
    native: bool, client: Client, engine: Ref, worker: Worker
) -> None:
    dice = random.Random(47)
    calls = [frame for frame in frames(engine, "echo") if len(frame) < 1000]
    whole = GREETING + b"".join(message(frame) for frame in calls)
    path_start, path_end = whole.index(b":path"), whole.index(b":authority")
    before = worker.rss_bytes()
    async with client.session() as session:
        for number in range(MUTATIONS):
            # Mostly behind the path, whose own test is above, and seldom before it.
            start, end = (path_end, len(whole)) if number % 20 else (0, path_start)
            data = whole[:start] + mutated(whole[start:end], dice) + whole[end:]
            await deliver(worker, data, native=native)
            if number % 100 == 0:
                assert await session.call(engine, "echo", number) == number
        assert await session.call(engine, "echo", None) is None
    assert worker.rss_bytes() - before < 64 * MEGABYTE
    await assert_idle(client, engine)
