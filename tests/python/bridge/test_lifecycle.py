"""The worker process: how it starts, what it says, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.python.support.client import Client, Failed, sampling
from tests.python.support.native import BOTH_WAYS
from tests.python.support.values import Record, Ref
from tests.python.support.worker import (
    ROOT,
    TOKEN,
    Worker,
    assert_group_gone,
    members_of,
)
from tests.python.support.workers import Workers, fake_engine


@pytest.fixture
def own_worker(workers: Workers) -> Iterator[Worker]:
    """A worker that the test may end."""
    with workers.running("own", "--grace", "3", may_end=True) as worker:
        yield worker


@pytest.fixture
def vllm_worker(workers: Workers) -> Iterator[Worker]:
    """A worker that would import vLLM for its first engine."""
    with workers.running("vllm", real=True) as worker:
        yield worker


async def build(client: Client, **fake: object) -> Ref:
    return await fake_engine(client, fake)


async def ended(worker: Worker) -> int:
    return await asyncio.to_thread(worker.wait)


def test_it_leads_a_process_group_of_its_own(own_worker: Worker) -> None:
    assert os.getpgid(own_worker.pid) == own_worker.pid


def test_the_sockets_are_for_their_owner_only(own_worker: Worker) -> None:
    modes = [stat.S_IMODE(path.stat().st_mode) for path in own_worker.sockets()]
    assert modes == [0o600, 0o600]


async def test_health_is_serving_before_vllm_is_imported(vllm_worker: Worker) -> None:
    async with Client(vllm_worker.address) as client:
        health = health_pb2_grpc.HealthStub(client.channel)
        for service in ("", "vllm_bridge.v1.Bridge"):
            request = health_pb2.HealthCheckRequest(service=service)
            answer = await health.Check(request)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        status = await client.call("Worker", "status")
        assert status["engines"] == []
    assert not vllm_worker.has_mapped("libtorch"), "vLLM would have loaded it"


async def test_reflection_lists_the_services(client: Client) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stream = stub.ServerReflectionInfo(iter([request]))
    answers = [answer async for answer in stream]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {"vllm_bridge.v1.Bridge", "grpc.health.v1.Health"} <= names


async def test_sigterm_exits_0_and_leaves_nothing(own_worker: Worker) -> None:
    async with Client(own_worker.address) as client:
        # Long enough for whoever looks whether engines live.
        engine = await build(client, shutdown_seconds=0.5)
        child = await client.call(engine, "start_child")
        assert child in members_of(own_worker.pid)
    own_worker.terminate()
    assert await ended(own_worker) == 0
    assert "is dead" not in own_worker.tail()
    await asyncio.to_thread(assert_group_gone, own_worker.pid)
    assert own_worker.sockets() == []


@BOTH_WAYS
async def test_sigterm_finishes_what_fits_and_ends_the_rest(
    native: bool, own_worker: Worker
) -> None:
    async with Client.of(own_worker, native=native) as client:
        engine = await build(client)
        await client.call(engine, "script", {"delay": 0.01}, prompt="long")
        await client.call(engine, "script", {"paced": True}, prompt="short")
        async with client.session() as session:
            # It goes on when its second item may be sent.
            short = await session.start(
                engine, "generate", "short", sampling(max_tokens=10), "short", credit=1
            )
            long = await session.start(
                engine, "generate", "long", sampling(max_tokens=None), "long"
            )
            await session.call(engine, "wait_requests", 2)
            own_worker.terminate()
            await session.wait_for(lambda: bool(session.notices))
            assert session.notices[0].draining.grace_ms == 3000
            with pytest.raises(Failed, match="DRAINING") as refused:
                await session.call(engine, "echo", 1)
            assert not refused.value.failure.retryable
            await short.grant(100)
            assert (await short.items())[-1].outputs[0].finish_reason == "length"
            with pytest.raises(Failed, match="WORKER_DOWN"):
                await long.items()
    assert await ended(own_worker) == 0


async def test_the_end_of_stdin_ends_it_and_its_group(own_worker: Worker) -> None:
    async with Client(own_worker.address) as client:
        engine = await build(client)
        await client.call(engine, "start_child")
        await client.call(engine, "script", {"delay": 0.01})
        stream = client.replies(engine, "generate", "hi", sampling(max_tokens=None), "r")
        await stream.read()
        own_worker.cut_lifeline()
        await ended(own_worker)
    await asyncio.to_thread(assert_group_gone, own_worker.pid)
    assert own_worker.sockets() == []


async def test_the_end_of_stdin_beats_a_build_that_blocks(own_worker: Worker) -> None:
    async with Client(own_worker.address) as client:
        config = {"fake": {"build_seconds": 600.0}}
        arguments = Record("AsyncEngineArgs", {"additional_config": config})
        building = asyncio.ensure_future(client.call("AsyncLLM", "from_engine_args", arguments))
        while (await client.call("Worker", "status"))["calls"] < 2:
            pass
        own_worker.cut_lifeline()
        await ended(own_worker)
        with pytest.raises((Failed, grpc.aio.AioRpcError)):
            await building
    await asyncio.to_thread(assert_group_gone, own_worker.pid)


async def test_a_crash_ends_calls_at_once(own_worker: Worker) -> None:
    async with Client(own_worker.address) as client:
        engine = await build(client)
        waiting = asyncio.ensure_future(client.call(engine, "wait_forever"))
        with pytest.raises(grpc.aio.AioRpcError):
            await client.call(engine, "crash", 7)
        with pytest.raises(grpc.aio.AioRpcError):
            await waiting
    assert await ended(own_worker) == 7


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit", "GeneratorExit"])
async def test_exceptions_that_would_end_a_program_do_not_end_the_worker(
    error: str, own_worker: Worker
) -> None:
    """Libraries raise SystemExit, argparse for one."""
    async with Client(own_worker.address) as client:
        engine = await build(client)
        with pytest.raises(Failed, match="now"):
            await client.call(engine, "raise_", error, "now")
        assert await client.call(engine, "echo", 1) == 1


async def test_stdout_carries_the_ready_line_and_nothing_else(own_worker: Worker) -> None:
    async with Client(own_worker.address) as client:
        engine = await build(client)
        await client.call(engine, "print_megabytes", 1)
    own_worker.terminate()
    assert await ended(own_worker) == 0
    assert own_worker.rest_of_stdout() == b""
    log = own_worker.tail(4_000_000)
    assert log.count("x" * 1023) == 1024
    assert "never awaited" not in log
    assert "Traceback" not in log


@BOTH_WAYS
async def test_tcp_serves_the_same(native: bool, tmp_path: Path) -> None:
    worker = Worker.start(tmp_path / "w", listen="tcp:127.0.0.1:0")
    try:
        async with Client.of(worker, native=native) as client:
            engine = await build(client)
            assert (await client.generate(engine, "hi", sampling(max_tokens=3))).finished
            async with client.session() as session:
                value = b"x" * 20_000_000
                assert await session.call(engine, "echo", value) == value
            await client.call(engine, "shutdown")
    finally:
        await asyncio.to_thread(worker.stop)


async def test_a_reference_of_an_earlier_worker_is_stale(
    own_worker: Worker, client: Client, engine: Ref
) -> None:
    async with Client(own_worker.address) as other:
        with pytest.raises(Failed, match="STALE_REF"):
            await other.call(engine, "echo", 1)


@pytest.mark.parametrize(
    ("arguments", "token", "words"),
    [
        (["--listen", "nowhere"], TOKEN, "neither unix:PATH nor tcp:HOST:PORT"),
        (["--listen", "unix:/" + "x" * 200], TOKEN, "107"),
        (["--listen", "tcp:127.0.0.1:0"], "", "VLLM_BRIDGE_TOKEN"),
        (["--listen", "unix:/proc/none/socket"], TOKEN, "/proc/none"),
    ],
)
def test_settings_that_cannot_be_end_it_with_a_sentence(
    arguments: list[str], token: str, words: str
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "python_worker", *arguments],
        cwd=ROOT,
        env={**os.environ, "VLLM_BRIDGE_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode != 0
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
