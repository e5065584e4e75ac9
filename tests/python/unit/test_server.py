"""Serving again after gRPC has stopped by itself."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import grpc
import pytest

from python_worker import belongings, server
from python_worker.settings import Settings


class Stopped:
    """A gRPC server that takes no more calls."""

    async def wait_for_termination(self, _seconds: float | None = None) -> None:
        """Says why."""
        raise RuntimeError("it takes no more calls")

    async def stop(self, grace: float | None) -> None:
        """Has nothing left to stop."""


async def logged(text: str, caplog: pytest.LogCaptureFixture, guard: asyncio.Task[None]) -> None:
    """Waits for a line of the log, as long as the guard lives."""
    async with asyncio.timeout(30):
        while text not in caplog.text:
            assert not guard.done(), "nobody serves again"
            await asyncio.sleep(0.01)


async def test_a_port_that_somebody_has_meanwhile_is_taken_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(belongings, "settle", lambda: tmp_path)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.01)
    served = server.Server(Settings(listen=(), token="t"))
    monkeypatch.setattr(served, "_grpc", Stopped())
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        addresses = [f"unix:{tmp_path}/s", f"tcp:127.0.0.1:{port}"]
        guard = asyncio.create_task(served._serve_again(addresses))
        await logged("cannot serve again yet", caplog, guard)
    try:
        await logged("serving again at", caplog, guard)
        async with asyncio.timeout(30):
            for address in (f"unix:{tmp_path}/s", f"127.0.0.1:{port}"):
                async with grpc.aio.insecure_channel(address) as channel:
                    await channel.channel_ready()
        assert not guard.done()
        # It is told once, however often it is tried.
        errors = [it for it in caplog.records if it.levelno == logging.ERROR]
        assert sum("cannot serve again yet" in it.message for it in errors) == 1
    finally:
        guard.cancel()
        await served._grpc.stop(None)
