"""What systemd is told, over a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from python_worker.process.service_manager import ServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


def environment(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), "HOME": "/", **more}


def test_it_is_told_that_the_worker_serves_and_stops(manager: socket.socket) -> None:
    environ = environment(manager)
    service = ServiceManager(own=True, environ=environ)
    assert environ == {"HOME": "/"}, "no child of the worker is the service"
    service.ready("serving")
    assert manager.recv(4096) == b"READY=1\nSTATUS=serving"
    service.stopping(12.5, "stopping")
    assert manager.recv(4096).split(b"\n") == [
        b"STOPPING=1",
        b"EXTEND_TIMEOUT_USEC=12500000",
        b"STATUS=stopping",
    ]


async def test_it_is_told_from_the_loop_that_the_loop_runs(manager: socket.socket) -> None:
    service = ServiceManager(
        own=True,
        environ=environment(manager, WATCHDOG_USEC="20000", WATCHDOG_PID=str(os.getpid())),
    )
    service.ready("serving")
    beats = [await asyncio.to_thread(manager.recv, 4096) for _ in range(4)]
    assert beats[1:] == [b"WATCHDOG=1"] * 3
    service.close()


@pytest.mark.parametrize(
    "watchdog",
    [{"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "often"}, {}],
)
def test_a_watchdog_of_another_process_is_not_answered(
    manager: socket.socket, watchdog: dict[str, str]
) -> None:
    # There is no loop here, which a timer would need.
    ServiceManager(own=True, environ=environment(manager, **watchdog)).ready("serving")
    assert manager.recv(4096).startswith(b"READY=1")


def test_a_worker_that_a_client_has_started_speaks_not_for_the_service(
    manager: socket.socket,
) -> None:
    environ = environment(manager, WATCHDOG_USEC="20000")
    ServiceManager(own=False, environ=environ).ready("serving")
    assert environ == {"HOME": "/"}
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0vllm-bridge-test-{os.getpid()}")
        name = f"@vllm-bridge-test-{os.getpid()}"
        ServiceManager(own=True, environ={"NOTIFY_SOCKET": name}).ready("serving")
        assert listening.recv(4096).startswith(b"READY=1")


def test_a_service_manager_that_is_gone_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "gone")
    ServiceManager(own=True, environ={"NOTIFY_SOCKET": path}).ready("serving")
    assert path in caplog.text
    ServiceManager(own=True, environ={}).ready("nobody asked")
