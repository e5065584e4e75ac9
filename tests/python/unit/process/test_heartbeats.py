"""A peer that falls silent is noticed, and one that is busy is not."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from python_worker.process import heartbeats

zmq: Any = pytest.importorskip("zmq")


class Options:
    """Records the options of a context."""

    def __init__(self) -> None:
        self.given: dict[int, Any] = {}

    def setsockopt(self, opt: int, value: Any) -> None:
        self.given[opt] = value


@pytest.mark.parametrize("seconds", [0.004, 1.0, 30.0])
def test_a_silent_peer_is_lost_within_the_time(seconds: float) -> None:
    options = Options()
    heartbeats.begin(options, seconds)
    interval = options.given[zmq.HEARTBEAT_IVL]
    assert interval > 0
    assert interval + options.given[zmq.HEARTBEAT_TIMEOUT] == int(seconds * 1000)
    assert options.given[zmq.HEARTBEAT_TTL] == int(seconds * 1000)


# Connects, says so, and computes for ever.
BUSY = """
import sys, zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1])
socket.send(b"here")
while True:
    pass
"""


@pytest.fixture
def server() -> Iterator[Any]:
    context = zmq.Context()
    heartbeats.begin(context, 1.0)
    with context.socket(zmq.ROUTER) as server:
        yield server
    context.destroy(linger=0)


def test_a_busy_peer_is_there_and_a_stopped_one_is_not(server: Any) -> None:
    port = server.bind_to_random_port("tcp://127.0.0.1")
    address = f"tcp://127.0.0.1:{port}"
    with (
        server.get_monitor_socket(zmq.EVENT_DISCONNECTED) as news,
        subprocess.Popen([sys.executable, "-c", BUSY, address]) as busy,
    ):
        try:
            assert server.recv_multipart()[1] == b"here"
            assert not news.poll(2000)  # twice the time that a silent peer has
            busy.send_signal(signal.SIGSTOP)
            event, _ = news.recv_multipart()
            assert int.from_bytes(event[:2], "little") == zmq.EVENT_DISCONNECTED
        finally:
            busy.kill()
            server.disable_monitor()
