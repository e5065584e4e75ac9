"""The two listeners of a worker: what each serves, and what a client at the wrong one is told."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.python.support.client import Client
from tests.python.support.native import connect
from tests.python.support.worker import READY, ROOT, TOKEN, Worker


def test_grpc_is_beside_the_sessions(worker: Worker) -> None:
    assert worker.address == f"{worker.session_address}.grpc"


async def test_health_at_the_sessions_listener_names_the_address_of_grpc(worker: Worker) -> None:
    async with Client(worker.session_address) as client:
        health = health_pb2_grpc.HealthStub(client.channel)
        for service in ("", "vllm_bridge.v1.Bridge"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
            details = caught.value.details() or ""
            assert f"gRPC is served at {worker.address}: use that address" in details
    assert details in worker.tail()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n", b"HTTP/1.1 505 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x15\x03\x03\x00\x02\x02\x0a"),
        (b"\xff" * 100, b"\x00\x00\x00\x04\x00"),
    ],
    ids=["HTTP/1", "TLS", "neither"],
)
async def test_other_protocols_are_answered_and_closed(
    request_: bytes, answer: bytes, worker: Worker
) -> None:
    reader, writer = await connect(worker.session_address)
    writer.write(request_)
    async with asyncio.timeout(60):
        assert (await reader.read()).startswith(answer)
    writer.close()
    assert "closed a connection at the sessions' listener" in worker.tail()


async def test_each_hello_names_the_other_listener_over_tcp(tmp_path: Path) -> None:
    worker = Worker.start(tmp_path / "w", listen="tcp:127.0.0.1:0")
    try:
        async with Client.of(worker, native=True) as client, client.session() as session:
            assert session.hello.grpc_address == f"tcp:{worker.address}"
        async with Client.of(worker, native=False) as client, client.session() as session:
            assert session.hello.session_address == f"tcp:{worker.session_address}"
    finally:
        await asyncio.to_thread(worker.stop)


async def test_a_worker_without_grpc_serves_sessions(tmp_path: Path) -> None:
    worker = Worker.start(tmp_path / "w", arguments=("--grpc-listen", "none"))
    try:
        assert worker.address == ""
        native = Client("unix:/nowhere", session_address=worker.session_address)
        async with native as client, client.session() as session:
            assert session.hello.grpc_address == ""
            assert (await session.call("Worker", "status"))["sessions"] == 1
    finally:
        await asyncio.to_thread(worker.stop)


def test_the_ready_line_names_every_address(tmp_path: Path) -> None:
    listen = [f"unix:{tmp_path}/w/a", f"unix:{tmp_path}/w/b"]
    command = [sys.executable, "-m", "python_worker", "--lifeline", "stdin"]
    command += [part for address in listen for part in ("--listen", address)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "VLLM_BRIDGE_TOKEN": TOKEN},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline().decode().removeprefix(READY))
        # It ends with its stdin, which is closed here.
    grpc_listen = [f"{address}.grpc" for address in listen]
    assert (ready["address"], ready["addresses"]) == (listen[0], listen)
    assert (ready["grpc_address"], ready["grpc_addresses"]) == (grpc_listen[0], grpc_listen)
    assert os.listdir(tmp_path) == []


def test_an_address_that_grpc_cannot_have_ends_the_worker_with_a_sentence() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "python_worker", "--listen", "unix:/proc/none/s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    assert "gRPC cannot listen at unix:/proc/none/s.grpc" in result.stderr
    assert "Traceback" not in result.stderr
