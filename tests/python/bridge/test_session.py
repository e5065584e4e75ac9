"""Sessions: the handshake, credit, gathering, cancelling, and clients that misbehave.

All of it through gRPC and over a native connection.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.client import Client, Failed, release, request, sampling
from tests.python.support.native import BOTH_WAYS, EOF
from tests.python.support.values import Ref
from tests.python.support.worker import TOKEN, Worker

pytestmark = BOTH_WAYS

HELLO = pb.ClientHello(protocol_version=1, token=TOKEN)


async def test_the_handshake_introduces_the_worker(client: Client, worker: Worker) -> None:
    async with client.session() as session:
        assert session.hello.protocol_version == 1
        assert session.hello.incarnation == worker.incarnation
        assert session.hello.pid == worker.pid
        assert session.hello.worker_version


@pytest.mark.parametrize("version", [0, 2, 4_294_967_295])
async def test_another_protocol_version_is_refused_with_both_named(
    version: int, client: Client
) -> None:
    session = client.session(version=version)
    with pytest.raises(Failed) as caught:
        await session.__aenter__()
    assert caught.value.kind == "PROTOCOL"
    assert f"version {version}," in caught.value.failure.message
    assert "worker 1" in caught.value.failure.message
    assert await session.status() == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1]])
async def test_a_wrong_token_is_refused_everywhere(
    token: str, client: Client, worker: Worker
) -> None:
    session = client.session(token=token)
    with pytest.raises(Failed, match="token"):
        await session.__aenter__()
    assert await session.status() == grpc.StatusCode.UNAUTHENTICATED
    async with Client(worker.address, token=token) as stranger:
        with pytest.raises(grpc.aio.AioRpcError) as call:
            await stranger.call("Worker", "status")
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            await stranger.items("Worker", "status")
    assert {call.value.code(), stream.value.code()} == {grpc.StatusCode.UNAUTHENTICATED}


@pytest.mark.parametrize(
    "first", [pb.ClientFrame(), pb.ClientFrame(cancels=[1]), pb.ClientFrame(releases=["x"])]
)
async def test_the_first_frame_must_be_a_hello(
    first: pb.ClientFrame, native: bool, client: Client
) -> None:
    session = client.session()
    await session.write(first)
    if native:
        # Any client may be at that listener: it is told where gRPC is served.
        assert await session.status() == grpc.StatusCode.UNIMPLEMENTED
        return
    assert "hello" in (await session.read()).failure.message
    assert await session.status() == grpc.StatusCode.FAILED_PRECONDITION


async def test_no_more_items_than_credit(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        stream = await session.start(engine, "count", 20, credit=3)
        await stream.accepted()
        for _ in range(3):
            assert (await stream.reply()).WhichOneof("outcome") == "item"
        # Whatever else was on its way has come when a later call is answered.
        await session.call(engine, "echo", None)
        assert stream.waiting.empty()
        await stream.grant(2)
        for _ in range(2):
            assert (await stream.reply()).WhichOneof("outcome") == "item"
        await session.call(engine, "echo", None)
        assert stream.waiting.empty()
        await stream.grant(1000)
        assert await stream.items() == list(range(5, 20))


async def test_without_credit_a_request_is_accepted_and_merged(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        params = sampling(max_tokens=1000, output_kind="DELTA")
        stream = await session.start(engine, "generate", "hi", params, "r", credit=0)
        await stream.accepted()
        await session.call(engine, "wait_requests", 0)
        assert stream.waiting.empty()
        await stream.grant(1000)
        items = await stream.items()
        assert len(items) == 2, "the one that was held back, and all others merged into one"
        assert sum(len(item.outputs[0].token_ids) for item in items) == 1000


async def test_a_stream_without_credit_delays_no_other(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        params = sampling(max_tokens=100)
        held = await session.start(engine, "generate", "hi", params, "held", credit=0)
        for n in range(10):
            running = await session.start(engine, "generate", "hi", params, str(n))
            assert (await running.items())[-1].finished
        await held.grant(10)
        assert (await held.items())[-1].finished


async def test_cancel_reaches_the_engine(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        for n in range(50):
            params = sampling(max_tokens=None)
            stream = await session.start(engine, "generate", "hi", params, f"r{n}", credit=2)
            await stream.accepted()
            await stream.cancel()
            await session.call(engine, "wait_aborted", f"r{n}")
            with pytest.raises(Failed, match="CANCELLED"):
                await stream.items()
        assert (await session.call(engine, "live"))["requests"] == 0


async def test_cancelling_what_has_ended_or_never_was_is_ignored(
    client: Client, engine: Ref
) -> None:
    async with client.session() as session:
        stream = await session.start(engine, "count", 3)
        await stream.items()
        frame = pb.ClientFrame(
            cancels=[stream.id, stream.id, 0, 999],
            credits=[pb.Credit(call=999, items=1)],
            releases=["unknown", ""],
        )
        await session.write(frame)
        assert await session.call(engine, "echo", 1) == 1


async def test_the_end_of_a_session_aborts_its_requests(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        for n in range(8):
            params = sampling(max_tokens=None)
            await (await session.start(engine, "generate", "hi", params, str(n))).accepted()
    await client.call(engine, "wait_requests", 0)
    assert len(await client.call(engine, "aborted")) == 8


async def test_many_streams_share_frames(client: Client, engine: Ref) -> None:
    # So that all run together, and on a busy machine none has its tokens merged.
    await client.call(engine, "script", {"hold": True, "paced": True})
    async with client.session() as session:
        params = sampling(max_tokens=20, output_kind="DELTA")
        running = [
            await session.start(engine, "generate", "hi", params, str(n)) for n in range(256)
        ]
        for stream in running:
            await stream.accepted()
        session.frames = session.replies = 0
        await release(session, engine, 256)
        for stream in running:
            items = await stream.items()
            ids = [token for item in items for token in item.outputs[0].token_ids]
            assert ids == list(range(256, 276))
        average = session.replies / session.frames
        assert average > 8, f"{session.replies} replies in {session.frames} frames"


async def test_one_event_loop_task_set_stays_small(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        before = (await session.call(engine, "live"))["tasks"]
        for n in range(100):
            stream = await session.start(engine, "generate", "hi", sampling(max_tokens=3), str(n))
            await stream.items()
        assert (await session.call(engine, "live"))["tasks"] <= before + 1


Break = Callable[[Ref], pb.ClientFrame]


@pytest.mark.parametrize(
    "frame",
    [
        lambda ref: pb.ClientFrame(calls=[pb.StartCall(id=0, request=request(ref, "echo", [1]))]),
        lambda ref: pb.ClientFrame(
            calls=[pb.StartCall(id=1, request=request(ref, "echo", [n])) for n in range(2)]
        ),
    ],
    ids=["zero", "twice"],
)
async def test_call_ids_that_break_the_protocol_end_the_session(
    frame: Break, client: Client, engine: Ref
) -> None:
    session = client.session()
    await session.write(pb.ClientFrame(hello=HELLO))
    await session.read()
    await session.write(frame(engine))
    while not (last := await session.read()).HasField("failure"):
        assert last is not EOF
    assert pb.FailureKind.Name(last.failure.kind) == "FAILURE_KIND_PROTOCOL"
    assert await session.status() == grpc.StatusCode.FAILED_PRECONDITION
    assert await client.call(engine, "echo", 1) == 1


@pytest.mark.parametrize(
    "message",
    [
        pb.CallRequest(),
        pb.CallRequest(class_name="Worker", method="status", args=b"\xc1"),
        pb.CallRequest(class_name="Worker", method="status", args=b"\x93\x01"),
        pb.CallRequest(class_name="Worker", method="status", args=b"\x80"),
        pb.CallRequest(class_name="Worker", method="status", kwargs=b"\x90"),
        pb.CallRequest(class_name="Worker", method="status", args=b"\x91" * 100_000 + b"\xc0"),
        pb.CallRequest(class_name="Worker", method="status", args=b"\xdd\xff\xff\xff\xff"),
        pb.CallRequest(class_name="Worker", method="status", args=b"\x91\xc7\x02\x63\x90\x90"),
    ],
    ids=["empty", "never", "cut", "map", "array", "deep", "claim", "unknown-ext"],
)
async def test_nonsense_in_a_call_is_its_failure_only(
    message: pb.CallRequest, client: Client
) -> None:
    async with client.session() as session:
        start = pb.StartCall(id=1, request=message)
        await session.write(pb.ClientFrame(calls=[start]))
        session._last_id = 1
        reply = await session._calls[1].get()
        kind = pb.FailureKind.Name(reply.failure.kind)
        assert kind in ("FAILURE_KIND_PROTOCOL", "FAILURE_KIND_INVALID"), reply
        assert reply.failure.message
        assert (await session.call("Worker", "status"))["sessions"] >= 1


async def test_bytes_that_are_no_message_end_the_rpc_only(client: Client) -> None:
    """A generic client sends what protobuf cannot parse."""
    raw: Any = client.channel
    for data in (b"\xff" * 100, os.urandom(1000), b"\x0a\xff\xff\xff\xff\x0f"):
        for name in ("Call", "Stream", "Session"):
            rpc: Any = raw.stream_stream(f"/vllm_bridge.v1.Bridge/{name}")()
            await rpc.write(data)
            await rpc.done_writing()
            async with asyncio.timeout(120):
                assert await rpc.code() != grpc.StatusCode.OK
    assert (await client.call("Worker", "status"))["pid"]


async def test_a_method_that_is_not_there_is_unimplemented(client: Client) -> None:
    raw: Any = client.channel
    rpc = raw.unary_unary("/vllm_bridge.v1.Bridge/Nothing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rpc(b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
