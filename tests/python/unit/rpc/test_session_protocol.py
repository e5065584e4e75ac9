"""Native connections: what is said in which order, and clients that read slowly."""

from __future__ import annotations

import asyncio
import struct
import tracemalloc

import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.process import large_work
from python_worker.rpc.session import MAX_FRAME_BYTES
from python_worker.rpc.session_protocol import AT_ONCE_BYTES, AT_ONCE_FRAMES, MAX_UNREAD_BYTES
from tests.python.support.client import Session, request
from tests.python.support.native import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    NativeRpc,
    http2_frame,
    message,
    window_update,
)
from tests.python.support.served import (
    GREETING,
    HELLO,
    HIGH_WATER,
    ITEM,
    MEGABYTE,
    OPENING,
    Served,
    Transport,
    numbers,
    until,
)

ON_UVLOOP = True

# --- What is said in which order ---------------------------------------------------


@pytest.mark.parametrize("cut", [None, *range(0, 250, 7)])
async def test_headers_come_before_data_however_the_request_comes(cut: int | None) -> None:
    transport = Transport(Served().connection())
    said = OPENING + message(GREETING)
    if cut is None:
        for place in range(len(said)):
            transport.deliver(said[place : place + 1])
    else:
        transport.deliver(said[:cut])
        transport.deliver(said[cut:])
    kinds = [(kind, flags) for kind, flags, _, _ in transport.frames()]
    assert kinds == [
        (SETTINGS, 0),
        (WINDOW_UPDATE, 0),
        (SETTINGS, ACK),
        (HEADERS, END_HEADERS),
        (DATA, 0),
    ]


async def test_the_hello_is_answered_at_once(served: Served, session: Session) -> None:
    assert session.hello.pid == 7
    assert session.hello.incarnation == served.references.incarnation
    assert len(served.clients) == 1


async def test_an_answer_that_waits_for_nothing_leaves_in_the_turn_in_which_it_was_asked_for() -> (
    None
):
    transport = Transport(Served().connection())
    transport.deliver(OPENING + message(GREETING))
    for call_id in (1, 2):
        transport.said.clear()
        start = pb.StartCall(id=call_id, request=request("Thing", "at_once", [call_id]))
        transport.deliver(message(pb.ClientFrame(calls=[start]).SerializeToString()))
        # No other turn of the loop has come: nothing was awaited.
        [(kind, _, _, payload)] = transport.frames()
        assert kind == DATA
        [reply] = pb.ServerFrame.FromString(payload[5:]).replies
        assert (reply.call, reply.value) == (call_id, start.request.args)
    # And it leaves nothing to be sent later.
    transport.said.clear()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not transport.said


def frame(call_id: int, method: str = "at_once", value: object = 0) -> bytes:
    start = pb.StartCall(id=call_id, request=request("Thing", method, [value]))
    return pb.ClientFrame(calls=[start]).SerializeToString()


@pytest.mark.parametrize("joined", [False, True], ids=["a DATA frame each", "in one DATA frame"])
async def test_of_many_frames_in_one_read_the_rest_waits_for_turns_of_the_loop(
    joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_work, "turns", lambda steps: steps)  # each step is a turn
    monkeypatch.setattr(large_work, "is_over", lambda loop: False)
    count = 3 * AT_ONCE_FRAMES
    transport = Transport(Served().connection())
    transport.deliver(OPENING + message(GREETING))
    transport.said.clear()
    frames = [frame(call_id) for call_id in range(1, count + 1)]
    if joined:
        body = b"".join(struct.pack(">BI", 0, len(it)) + it for it in frames)
        transport.deliver(http2_frame(DATA, 0, 1, body))
    else:
        transport.deliver(b"".join(map(message, frames)))
    answered = replies_of(transport)
    assert AT_ONCE_FRAMES <= len(answered) < count
    await until(lambda: len(replies_of(transport)) == count)
    assert [reply.call for reply in replies_of(transport)] == list(range(1, count + 1))


async def test_a_small_frame_does_not_overtake_a_large_one_of_the_same_read() -> None:
    transport = Transport(Served().connection())
    transport.deliver(OPENING + message(GREETING))
    transport.said.clear()
    frames = [frame(1, value="x" * AT_ONCE_BYTES), frame(2)]
    body = b"".join(struct.pack(">BI", 0, len(it)) + it for it in frames)
    transport.deliver(http2_frame(DATA, 0, 1, body))
    await until(lambda: len(replies_of(transport)) == 2)
    assert [reply.call for reply in replies_of(transport)] == [1, 2]


def replies_of(transport: Transport) -> list[pb.CallReply]:
    """What the worker has replied; each of its frames is whole."""
    data = [payload[5:] for kind, _, _, payload in transport.frames() if kind == DATA]
    return [reply for it in data for reply in pb.ServerFrame.FromString(it).replies]


async def test_answers_at_once_and_later_are_all_there(session: Session, served: Served) -> None:
    waiting = [await session.start("Thing", "wait", n) for n in range(10)]
    at_once = [await session.start("Thing", "at_once", n) for n in range(10)]
    assert [await call.value() for call in at_once] == [[n] for n in range(10)]
    served.go.set()
    assert [await call.value() for call in waiting] == [[n] for n in range(10)]


async def test_replies_of_one_turn_share_a_frame(
    served: Served, rpc: NativeRpc, session: Session
) -> None:
    waiting = [await session.start("Thing", "wait", n) for n in range(50)]
    await until(lambda: served.running == 50)
    before = rpc.kinds.count(DATA)
    served.go.set()
    assert [await call.value() for call in waiting] == [[n] for n in range(50)]
    assert session.frames == 1
    assert rpc.kinds.count(DATA) == before + 1


async def test_calls_of_one_frame_are_answered_in_one(session: Session) -> None:
    starts = [pb.StartCall(id=n, request=request("Thing", "echo", [n])) for n in range(1, 51)]
    await session.write(pb.ClientFrame(calls=starts))
    await session.wait_for(lambda: session.replies == 50)
    assert session.frames == 1


@pytest.mark.parametrize(
    "size", [0, 1, 16_000, 16_384, 65_000, 65_536, MEGABYTE, MAX_FRAME_BYTES, 9 * MEGABYTE]
)
async def test_a_value_of_any_size_arrives(size: int, session: Session) -> None:
    assert await session.call("Thing", "echo", b"\xa5" * size, size) == [b"\xa5" * size, size]
    assert await session.call("Thing", "echo", 1) == [1]


async def test_many_of_all_sizes_at_once_arrive_in_order(session: Session) -> None:
    sizes = [n**4 % 200_000 for n in range(200)]
    calls = [await session.start("Thing", "echo", b"x" * size) for size in sizes]
    assert [len((await call.value())[0]) for call in calls] == sizes


# --- Who reads slowly ----------------------------------------------------------------


async def test_for_who_does_not_read_items_gather_as_far_as_its_credit(
    served: Served, rpc: NativeRpc, session: Session
) -> None:
    rpc.reading.clear()
    stream = await session.start("Thing", "stream", credit=100)
    await until(lambda: served.items == 100)
    await until(lambda: served.buffered > HIGH_WATER)
    assert served.buffered <= HIGH_WATER + MAX_FRAME_BYTES + len(ITEM)
    rpc.reading.set()
    assert await numbers(session, stream.id, 100) == list(range(100))
    # As long as it reads, it goes on.
    for begin in range(100, 300, 50):
        await stream.grant(50)
        assert await numbers(session, stream.id, 50) == list(range(begin, begin + 50))
    assert served.items == 300


async def test_who_is_not_read_holds_up_no_other(
    served: Served, rpc: NativeRpc, session: Session
) -> None:
    rpc.reading.clear()
    await session.start("Thing", "stream", credit=100)
    await until(lambda: served.items == 100)
    other = NativeRpc(served.address)
    async with Session(other, HELLO) as beside:
        for n in range(100):
            assert await beside.call("Thing", "echo", n) == [n]
    await other.close()


async def test_who_opens_no_window_gets_what_it_had_opened_and_later_the_rest(
    served: Served,
) -> None:
    rpc = NativeRpc(served.address, window=DEFAULT_WINDOW)
    rpc.generous = False
    async with Session(rpc, HELLO) as session:
        stream = await session.start("Thing", "stream", credit=20)
        await until(lambda: rpc._taken == DEFAULT_WINDOW)
        await until(lambda: served.items == 20)
        # It may ask, and what is no data is answered.
        rpc.send(http2_frame(PING, 0, 0, bytes(8)))
        await until(lambda: PING in rpc.kinds)
        echo = await session.start("Thing", "echo", "behind")
        rpc.generous = True
        rpc.give_back()
        assert await numbers(session, stream.id, 20) == list(range(20))
        assert await echo.value() == ["behind"]
    await rpc.close()


async def test_neither_reading_nor_a_window_alone_is_enough(served: Served) -> None:
    """The window is opened while the socket is full, and both ends are waited for."""
    rpc = NativeRpc(served.address, window=2 * MEGABYTE)
    rpc.generous = False
    async with Session(rpc, HELLO) as session:
        rpc.reading.clear()
        stream = await session.start("Thing", "stream", credit=100)
        await until(lambda: served.items == 100)
        rpc.send(window_update(0, 20 * MEGABYTE) + window_update(1, 20 * MEGABYTE))
        rpc._window += 20 * MEGABYTE
        echo = await session.start("Thing", "echo", 1)
        rpc.reading.set()
        assert await numbers(session, stream.id, 100) == list(range(100))
        assert await echo.value() == [1]
    await rpc.close()


async def test_who_reads_a_large_value_may_say_anything_meanwhile(
    served: Served, rpc: NativeRpc, session: Session
) -> None:
    """What it is sent waits beside the answers to what it says, and is not counted as one."""
    rpc.reading.clear()
    value = bytes(3 * MEGABYTE)
    large = await session.start("Thing", "echo", value)
    await until(lambda: served.buffered > MAX_UNREAD_BYTES)
    rpc.send(http2_frame(PING, 0, 0, bytes(8)))
    # So much in all that the windows are opened again.
    other = await session.start("Thing", "echo", len(value), value)
    await until(lambda: served.echoes == 2)
    rpc.reading.set()
    assert await large.value() == [value]
    assert await other.value() == [len(value), value]
    assert PING in rpc.kinds


PINGS = http2_frame(PING, 0, 0, bytes(8)) * 100


def ask_and_do_not_read(transport: Transport, times: int) -> None:
    """So many times a hundred pings."""
    transport.reads = False
    for _ in range(times):
        transport.deliver(PINGS)


def as_long_as_it_is_answered() -> int:
    """How many hundred pings are answered that nobody reads."""
    transport = Transport(Served().connection())
    transport.deliver(OPENING)
    times = 0
    while transport.open:
        ask_and_do_not_read(transport, 1)
        times += 1
    return times - 1


async def test_who_asks_and_does_not_read_is_left(caplog: pytest.LogCaptureFixture) -> None:
    served = Served()
    transport = Transport(served.connection())
    transport.deliver(OPENING + message(GREETING))
    ask_and_do_not_read(transport, 2 * MAX_UNREAD_BYTES // len(PINGS))
    assert not transport.open
    most = MAX_UNREAD_BYTES + HIGH_WATER + 2 * len(PINGS)
    assert MAX_UNREAD_BYTES < transport.unread < most
    kind, _, _, payload = transport.frames()[-1]
    assert (kind, payload[4:8]) == (GOAWAY, b"\0\0\0\x0b")
    assert "and does not read" in caplog.text
    assert len(served.clients) == 0


async def test_who_asks_as_much_and_reads_is_answered() -> None:
    transport = Transport(Served().connection())
    transport.deliver(OPENING + message(GREETING))
    times = as_long_as_it_is_answered()
    for _ in range(3):
        ask_and_do_not_read(transport, times)
        transport.read()
    assert transport.open
    answers = [frame for frame in transport.frames() if frame[0] == PING]
    assert answers == [(PING, ACK, 0, bytes(8))] * (3 * times * 100)


@pytest.mark.parametrize(
    "last", [message(b""), http2_frame(RST_STREAM, 0, 1, bytes(4))], ids=["no hello", "a reset"]
)
async def test_it_is_left_once_whatever_else_it_says(last: bytes) -> None:
    transport = Transport(Served().connection())
    transport.deliver(OPENING)
    ask_and_do_not_read(transport, as_long_as_it_is_answered())
    assert transport.open
    transport.deliver(PINGS + last)
    assert not transport.open
    assert [frame[0] for frame in transport.frames()].count(GOAWAY) == 1


async def test_pieces_of_a_message_keep_no_more_than_themselves() -> None:
    """Not what came beside them in the same read."""
    transport = Transport(Served().connection())
    transport.deliver(OPENING + message(b"", claim=MEGABYTE))
    beside = http2_frame(0x77, 0, 0, bytes(16_384)) * 8  # of a type that nobody knows
    tracemalloc.start()
    try:
        for n in range(100):
            transport.deliver(beside + http2_frame(DATA, 0, 1, b"x") + bytes((0, 0, n)))
            transport.deliver(http2_frame(0x77, 0, 0, bytes(n))[3:])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < MEGABYTE
    assert transport.open
