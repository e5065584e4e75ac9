"""A session runs calls side by side, frames their replies, and ends them all."""

from __future__ import annotations

import asyncio

import pytest

from python_worker import PROTOCOL_VERSION
from python_worker.dispatch.call import Call, start
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import ProtocolError
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.rpc.session import MAX_FRAME_BYTES, Session, check_hello


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


async def test_closing_ends_calls_and_releases_references(client: Client) -> None:
    client.references.hold(object(), client.session)
    client.start("wait", count=3)
    await client.session.close()
    assert not client.session.tasks
    assert len(client.references) == 0


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
