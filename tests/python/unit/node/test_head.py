"""A head is waited for, and its end is noticed."""

from __future__ import annotations

import logging
import queue
import socket
from collections.abc import Iterator

import pytest

from python_worker.node import head
from python_worker.node.head import HeadConnection, wait_for


@pytest.fixture
def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def listener(free_port: int) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", free_port)) as listener:
        yield listener


def test_it_is_waited_for_until_it_listens(
    free_port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(head, "SAY_SECONDS", 0.0)
    opened: list[socket.socket] = []
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            opened.append(socket.create_server(("127.0.0.1", free_port)))

    wait_for("127.0.0.1", free_port, sleep)
    opened[0].close()
    assert slept == [head.LOOK_SECONDS] * 3
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == f"waiting for the head at 127.0.0.1:{free_port}"
    assert said[1].startswith(f"still waiting for the head at 127.0.0.1:{free_port}: ")
    assert said[-1] == f"the head at 127.0.0.1:{free_port} is there"


def test_its_end_is_noticed_once(listener: socket.socket) -> None:
    gone: queue.Queue[bool] = queue.Queue()
    connection = HeadConnection("127.0.0.1", listener.getsockname()[1], lambda: gone.put(True))
    peer, _ = listener.accept()
    assert not connection.has_ended
    peer.sendall(b"what it says does not count")
    assert gone.empty()
    peer.close()
    assert gone.get(timeout=30)
    assert connection.has_ended
    connection.close()
    assert gone.empty()


def test_nothing_is_noticed_once_nobody_looks_any_more(listener: socket.socket) -> None:
    gone: queue.Queue[bool] = queue.Queue()
    connection = HeadConnection("127.0.0.1", listener.getsockname()[1], lambda: gone.put(True))
    peer, _ = listener.accept()
    connection.close()
    assert peer.recv(1) == b""
    peer.close()
    connection.thread.join(30)
    assert (gone.empty(), connection.has_ended) == (True, False)
