"""Single calls over gRPC: what is held for their client, and what is not when it has gone.

All else of the service is seen at a worker, in ``bridge/``.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from python_worker.dispatch.call import Call, GoingOn, start
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import Draining
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.process.large_work import LARGE_WORK
from python_worker.rpc.addresses import Addresses
from python_worker.rpc.grpc_service import ANYONE, Bridge, Replies
from python_worker.rpc.roles import Admission
from python_worker.rpc.sessions import Sessions
from python_worker.wire import client_frames
from tests.python.support.streams import wait_turns


class Context:
    """As much of gRPC's as a call without a token needs."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    def peer(self) -> str:
        return "unix:"


CONTEXT = cast(Replies, Context())


def asking(method: str, **fields: Any) -> bytes:
    """A request as gRPC hands it over."""
    return pb.CallRequest(method=method, **fields).SerializeToString()


ENGINE = ServedClass(name="Engine", shutdown="ends", stop=lambda _: None)


class Worker:
    """Serves calls that return things or stream them."""

    def __init__(self) -> None:
        self.references = References()
        sessions = Sessions(
            start=self.start, references=self.references, admission=Admission(token=""), pid=1
        )
        self.bridge = Bridge(
            sessions,
            start=self.start,
            references=self.references,
            admission=Admission(token=""),
            addresses=Addresses(),
        )
        self.held: list[str] = []
        self.calls: list[Call] = []
        self.go = asyncio.Event()

    def start(self, call: Call) -> asyncio.Task[None] | None:
        self.calls.append(call)
        return start(call, self.perform)

    def perform(self, call: Call) -> GoingOn | None:
        return cast(GoingOn, getattr(self, call.request.method)(call))

    def hold(self, call: Call) -> None:
        self.held.append(self.references.hold(object(), call.holder).id)
        call.sink.add_reference(self.held[-1])

    async def returns(self, call: Call) -> None:
        """Returns one thing."""
        self.hold(call)
        call.return_value([b"v"])

    async def builds(self, call: Call) -> None:
        """Returns an engine when the test says so."""
        await self.go.wait()
        ref = self.references.hold(object(), call.holder, served=ENGINE, pin=True)
        self.held.append(ref.id)
        call.sink.add_reference(ref.id)
        call.return_value([b"v"], built=True)

    async def ends(self, call: Call) -> None:
        """Shuts an engine down."""
        self.references.unpin(
            self.references.find(call.request.incarnation, call.request.ref).target
        )

    async def returns_later(self, call: Call) -> None:
        """Returns one thing when the test says so."""
        await self.go.wait()
        await self.returns(call)

    async def streams(self, call: Call) -> None:
        """Streams things as long as there is room."""
        call.sink.send(pb.CallReply(accepted=pb.Accepted()))
        for _ in range(3):
            await call.sink.wait_place()
            self.hold(call)
            call.sink.send_item(b"i")


@pytest.fixture
async def worker() -> Worker:
    return Worker()


async def test_a_reply_names_what_is_held_for_its_client(worker: Worker) -> None:
    reply = await worker.bridge.Call(asking("returns"), CONTEXT)
    assert reply == pb.CallReply(value=b"v", references=worker.held)
    assert worker.references.release(worker.held[0], ANYONE)
    assert len(worker.references) == 0


async def test_calls_that_run_when_the_worker_stops_are_told_why(worker: Worker) -> None:
    calls = [
        asyncio.ensure_future(worker.bridge.Call(asking("returns_later"), CONTEXT))
        for _ in range(3)
    ]
    await wait_turns(5)
    worker.bridge.stop_calls(Draining("the worker is stopping"))
    for reply in await asyncio.gather(*calls):
        assert reply.failure.kind == pb.FAILURE_KIND_DRAINING
        assert reply.failure.message == "the worker is stopping"
    await worker.bridge.wait_idle(60)
    assert worker.bridge.tasks == frozenset()


async def test_nothing_is_held_for_a_client_that_has_gone_before_its_reply(worker: Worker) -> None:
    call = asyncio.ensure_future(worker.bridge.Call(asking("returns_later"), CONTEXT))
    await wait_turns(5)
    worker.go.set()
    while not worker.held:
        await wait_turns(1)
    # The value is ready, and the task that writes it has not been woken.
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(worker.references) == 0


@pytest.mark.parametrize("written", [False, True])
async def test_an_engine_lives_if_its_reply_was_written(worker: Worker, written: bool) -> None:
    call = asyncio.ensure_future(worker.bridge.Call(asking("builds"), CONTEXT))
    await wait_turns(5)
    worker.go.set()
    while not worker.held:
        await wait_turns(1)
    if written:
        assert (await call).built
        assert worker.references.release(worker.held[0], ANYONE)
    else:
        assert not call.done()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await wait_turns(5)
    assert len(worker.references) == written
    assert worker.references.take_unreceived(ANYONE) == []


@pytest.mark.parametrize("written", [False, True])
async def test_an_engine_that_is_streamed_lives_if_it_was_written(
    worker: Worker, written: bool
) -> None:
    worker.go.set()
    stream = cast(Any, worker.bridge.Stream(asking("builds"), CONTEXT))
    assert (await anext(stream)).built
    if written:
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert worker.references.release(worker.held[0], ANYONE)
    else:
        await stream.aclose()
    await wait_turns(5)
    assert len(worker.references) == written


async def test_a_stream_names_what_each_item_holds(worker: Worker) -> None:
    stream = worker.bridge.Stream(asking("streams"), CONTEXT)
    references = [list(reply.references) async for reply in stream]
    assert references == [[], *([ref_id] for ref_id in worker.held)]
    assert len(worker.references) == 3


@pytest.mark.parametrize("taken", [1, 2, 3])
async def test_nothing_is_held_of_items_that_were_not_written(worker: Worker, taken: int) -> None:
    stream = cast(Any, worker.bridge.Stream(asking("streams"), CONTEXT))
    for _ in range(taken):
        await anext(stream)
        await wait_turns(5)
    # gRPC asks for the next reply when it has written one.
    await stream.aclose()
    written = max(taken - 2, 0)
    assert len(worker.references) == written
    for ref_id in worker.held[:written]:
        assert worker.references.release(ref_id, ANYONE)
    assert not any(worker.bridge.tasks)


@pytest.mark.parametrize("size", [0, 1, LARGE_WORK, 1_000_000])
async def test_arguments_of_any_size_come_as_they_were_sent(worker: Worker, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    await worker.bridge.Call(asking("returns", args=data, kwargs=b"k", timeout_ms=7), CONTEXT)
    (call,) = worker.calls
    args, kwargs = call.take_arguments()
    assert (bytes(args), bytes(kwargs)) == (data, b"k")
    assert (call.request.method, call.request.timeout_ms) == ("returns", 7)


async def test_a_large_request_is_not_parsed_on_the_loop(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    parse = client_frames.parse_request

    def noted(message: bytes) -> Any:
        threads.append(threading.current_thread().name)
        return parse(message)

    monkeypatch.setattr(client_frames, "parse_request", noted)
    await worker.bridge.Call(asking("returns", args=bytes(LARGE_WORK)), CONTEXT)
    await worker.bridge.Call(asking("returns"), CONTEXT)
    large, small = threads
    assert large.startswith("large")
    assert small == threading.main_thread().name
