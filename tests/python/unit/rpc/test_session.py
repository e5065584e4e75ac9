"""A session runs calls side by side, frames their replies, and ends them all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from python_worker import PROTOCOL_VERSION
from python_worker.dispatch.access import Access
from python_worker.dispatch.call import Call, start
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import ProtocolError
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.rpc.roles import Admission, Peer
from python_worker.rpc.session import MAX_FRAME_BYTES, Session, SessionSink, check_hello
from python_worker.rpc.sessions import ClientConnection, Sessions
from python_worker.wire import server_frames


async def answer(call: Call) -> None:
    """Do what the method's name says."""
    if call.request.method == "wait":
        await asyncio.get_running_loop().create_future()
    if call.request.method == "fail":
        raise KeyError("x")
    call.sink.send(pb.CallReply(value=call.request.args))


class Client:
    """A session and the frames it has sent."""

    def __init__(self) -> None:
        self.references = References()
        self.session = Session(start=self.begin, references=self.references, wake=self.plan)
        self.started: list[Call] = []
        self.frames: list[pb.ServerFrame] = []
        self.arrived = asyncio.Event()

    def begin(self, call: Call) -> asyncio.Task[None] | None:
        self.started.append(call)
        return start(call, answer)

    def plan(self) -> None:
        """Send at the end of the turn, as a connection does."""
        asyncio.get_running_loop().call_soon(self.send)

    def send(self) -> None:
        while self.session.filled:
            frame = b"".join(self.session.next_frame())
            self.frames.append(pb.ServerFrame.FromString(frame))
        self.arrived.set()

    def start(self, method: str, *, count: int = 1, first: int = 1, **fields: object) -> None:
        request = pb.CallRequest(method=method, **fields)  # type: ignore[arg-type]
        calls = [pb.StartCall(id=first + i, request=request) for i in range(count)]
        self.session.accept(pb.ClientFrame(calls=calls))

    async def replies(self, count: int) -> list[pb.CallReply]:
        while len(found := [r for frame in self.frames for r in frame.replies]) < count:
            self.arrived.clear()
            await self.arrived.wait()
        return found


@pytest.fixture
async def client() -> Client:
    return Client()


async def test_replies_of_one_turn_share_a_frame(client: Client) -> None:
    client.start("echo", count=50, args=b"x")
    replies = await client.replies(50)
    assert len(client.frames) == 1
    assert [reply.call for reply in replies] == list(range(1, 51))
    assert {reply.value for reply in replies} == {b"x"}


async def test_large_replies_are_spread_over_frames(client: Client) -> None:
    client.start("echo", count=5, args=b"x" * (MAX_FRAME_BYTES // 2))
    assert len(await client.replies(5)) == 5
    assert [len(frame.replies) for frame in client.frames] == [2, 2, 1]


async def test_a_waiting_call_does_not_hold_up_another(client: Client) -> None:
    client.start("wait")
    client.start("echo", first=2)
    assert [reply.call for reply in await client.replies(1)] == [2]


async def test_a_failure_is_the_last_reply(client: Client) -> None:
    client.start("fail")
    (reply,) = await client.replies(1)
    assert reply.failure.kind == pb.FAILURE_KIND_PYTHON
    assert reply.failure.type == "builtins.KeyError"
    assert not client.session.tasks


async def test_a_deadline_ends_a_call(client: Client) -> None:
    client.start("wait", timeout_ms=1)
    (reply,) = await client.replies(1)
    assert reply.failure.kind == pb.FAILURE_KIND_TIMEOUT
    assert reply.failure.message == "wait did not end within 1 ms"


async def test_a_cancel_ends_a_call_once(client: Client) -> None:
    client.start("wait")
    client.session.accept(pb.ClientFrame(cancels=[1, 1, 99]))
    client.session.accept(pb.ClientFrame(cancels=[1]))
    (reply,) = await client.replies(1)
    assert reply.failure.kind == pb.FAILURE_KIND_CANCELLED
    assert not client.session.tasks


@pytest.mark.parametrize("call_id", [0, 1, 5])
async def test_a_call_id_is_never_used_again(client: Client, call_id: int) -> None:
    client.start("echo", first=5)
    with pytest.raises(ProtocolError, match=f"call id {call_id} is not above 5"):
        client.start("echo", first=call_id)


async def test_a_place_that_is_given_back_is_one(client: Client) -> None:
    sink = SessionSink(client.session, 1, 2)
    assert [sink.take_place() for _ in range(3)] == [True, True, False]
    sink.return_place()
    assert [sink.take_place() for _ in range(2)] == [True, False]
    waiting = asyncio.ensure_future(sink.wait_place())
    await asyncio.sleep(0)
    assert not waiting.done()
    sink.grant(2)
    await waiting
    assert [sink.take_place() for _ in range(2)] == [True, False]


async def test_closing_ends_calls_and_sends_nothing_more(client: Client) -> None:
    client.start("wait", count=3)
    await client.session.close()
    assert not client.session.tasks
    assert not client.session.filled


async def test_a_frame_carries_receipts(client: Client) -> None:
    ref = client.references.hold(object(), client.session, pin=True)
    client.session.accept(pb.ClientFrame(receipts=[ref.id, "unknown"]))
    assert client.references.take_unreceived(client.session) == []


async def test_closing_shuts_down_what_has_no_receipt(client: Client) -> None:
    engine = ServedClass(name="Engine", shutdown="wait", stop=lambda _: None)
    client.references.hold(object(), client.session, served=engine, pin=True)
    await client.session.close()
    (call,) = client.started
    assert call.request.method == "wait"


async def test_a_frame_releases_references(client: Client) -> None:
    ref = client.references.hold(object(), client.session)
    client.session.accept(pb.ClientFrame(releases=[ref.id, ref.id, "unknown"]))
    assert len(client.references) == 0


def test_another_protocol_version_is_refused_with_both_named() -> None:
    hello = pb.ClientHello(protocol_version=PROTOCOL_VERSION + 1, token="t")
    with pytest.raises(ProtocolError) as caught:
        check_hello(hello)
    assert f"version {PROTOCOL_VERSION + 1}, the worker {PROTOCOL_VERSION}" in str(caught.value)


def load(ref: str, running: int) -> bytes:
    return server_frames.load(pb.EngineLoad(ref=ref, running=running))


async def test_a_load_goes_with_a_frame_that_is_sent_anyway(client: Client) -> None:
    client.session.put_load("a", load("a", 1))
    client.session.put_load("a", load("a", 2))
    client.session.put_load("b", load("b", 3))
    assert not client.session.filled
    client.start("echo")
    await client.replies(1)
    (frame,) = client.frames
    assert [(it.ref, it.running) for it in frame.loads] == [("a", 2), ("b", 3)]
    # It waits for the next one while frames flow, and is sent alone when none does.
    client.session.put_load("a", load("a", 4))
    client.session.send_loads()
    assert not client.session.filled
    client.session.send_loads()
    assert client.session.filled
    client.send()
    assert [it.running for it in client.frames[1].loads] == [4]
    assert not client.frames[1].replies
    client.session.send_loads()
    assert not client.session.filled


async def test_loads_stand_before_a_reply_that_has_a_frame_of_its_own(client: Client) -> None:
    client.session.enqueue_large(server_frames.value_parts(server_frames.call_field(1), [b"large"]))
    client.session.put_load("a", load("a", 1))
    await client.replies(1)
    assert [len(frame.loads) for frame in client.frames] == [1, 0]


async def test_a_session_is_told_the_last_loads_of_the_engines_that_it_may_use() -> None:
    hello, references = pb.ClientHello(), References()
    sessions = Sessions(
        start=lambda call: None, references=references, admission=Admission(token=""), pid=1
    )
    ours, other = (SimpleNamespace(model_config=SimpleNamespace(model=it)) for it in ("a", "b"))
    limited = Access(role="some", engines=frozenset({"a"}))
    connection = ClientConnection(Peer(), lambda: None, lambda: None)
    _, early = sessions.open(hello, limited, connection)
    for engine, ref, running in ((ours, "1", 1), (other, "2", 2), (ours, "1", 3)):
        sessions.put_load(ref, engine, load(ref, running))
    late, everything = (sessions.open(hello, it, connection)[1] for it in (limited, Access()))
    sessions.send_loads()
    told = [
        [
            (it.ref, it.running)
            for it in pb.ServerFrame.FromString(b"".join(each.next_frame())).loads
        ]
        for each in (early, late, everything)
    ]
    assert told == [[("1", 3)], [("1", 3)], [("1", 3), ("2", 2)]]
    sessions.forget_load("1")
    _, after = sessions.open(hello, Access(), connection)
    sessions.send_loads()
    (left,) = pb.ServerFrame.FromString(b"".join(after.next_frame())).loads
    assert left.ref == "2"


async def test_a_notice_goes_to_every_session_that_is_open() -> None:
    sessions = Sessions(
        start=lambda call: None, references=References(), admission=Admission(token=""), pid=1
    )
    connection = ClientConnection(Peer(), lambda: None, lambda: None)
    opened = [sessions.open(pb.ClientHello(), Access(), connection)[1] for _ in range(3)]
    await sessions.close(opened[1])
    notice = pb.Notice(draining=pb.Draining(grace_ms=5))
    sessions.announce(notice)
    told = [list(pb.ServerFrame.FromString(b"".join(each.next_frame())).notices) for each in opened]
    assert told == [[notice], [], [notice]]
