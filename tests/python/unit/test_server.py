"""The way in: gRPC serves again after it has stopped by itself, and addresses that cannot be."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from python_worker import server
from python_worker.process import run_folder
from python_worker.settings import Settings, SettingsError


class Stopped:
    """A gRPC server that takes no more calls, and has one that is not over yet."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.stopped = False

    async def wait_for_termination(self, seconds: float | None = None) -> None:
        """Says why, to who only looks; else returns when its calls are over."""
        if seconds is None:
            await self.over.wait()
        raise RuntimeError("it takes no more calls")

    async def stop(self, grace: float | None) -> None:
        """Has nothing left to stop."""
        self.stopped = True


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[server.Server]:
    """A worker that listens nowhere yet."""
    monkeypatch.setattr(run_folder, "create", lambda: tmp_path)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.01)
    served = server.Server(Settings(listen=(), token="t"))
    yield served
    for entrance in served._doors:
        entrance.close()
    os.close(int(served._grpc_socket.split("/")[-2]))


async def answers(address: str) -> bool:
    """Whether gRPC answers there."""
    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_grpc_serves_again_whenever_it_has_stopped_by_itself(
    tmp_path: Path, served: server.Server, caplog: pytest.LogCaptureFixture
) -> None:
    address = await served._open(f"unix:{tmp_path}/door")
    await served._serve_grpc()
    assert await answers(address)
    stopped = []
    for count in (1, 2, 3):
        await served._grpc.stop(None)
        stopped.append(Stopped())
        served._grpc = cast(grpc.aio.Server, stopped[-1])
        guard = asyncio.create_task(served._serve_grpc_again())
        async with asyncio.timeout(30):
            while caplog.text.count("gRPC takes calls again") < count:
                assert not guard.done(), "nobody serves again"
                await asyncio.sleep(0.01)
            assert await answers(address)
        assert not guard.done()
        guard.cancel()
    await served._grpc.stop(None)
    # Those that take no more calls are kept until theirs are over.
    assert len(served._retired) == len(stopped)
    for end in stopped:
        end.over.set()
    await asyncio.gather(*served._retired.values())
    assert not served._retired
    assert all(end.stopped for end in stopped)


async def test_a_port_that_was_free_is_the_same_at_every_address_of_a_host(
    served: server.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = ["127.0.0.1", "127.0.0.2"]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, 0)) for host in hosts]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    address = await served._open("tcp:localhost:0")
    port = int(address.removeprefix("tcp:localhost:"))
    assert port
    sockets = [sock for entrance in served._doors for sock in entrance.sockets]
    assert [sock.getsockname() for sock in sockets] == [(host, port) for host in hosts]


async def test_a_port_that_somebody_has_is_said_to_be_taken(served: server.Server) -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen at tcp:127.0.0.1:{port}: .*in use"):
            await served._open(f"tcp:127.0.0.1:{port}")
    assert not served._doors
