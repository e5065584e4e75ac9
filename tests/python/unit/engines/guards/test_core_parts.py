"""Parts of an engine whose end vLLM does not notice, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.core_parts import (
    LOOKS_AFTER_NEWS,
    CoreConnections,
    UnwatchedParts,
)

zmq: Any = pytest.importorskip("zmq")

NOTHING = (b"\1", b"\x90")


class Client:
    """vLLM's client, and cores that are connected to it."""

    def __init__(self, ranks: int = 2) -> None:
        self.context = zmq.Context()
        self.cores = zmq.Context()
        self.core_engines = [rank.to_bytes(2, "little") for rank in range(ranks)]
        self.input_socket = self.context.socket(zmq.ROUTER)
        port = self.input_socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"
        self.resources = SimpleNamespace(ctx=self.context, coordinator=None)
        self.sockets = [self.connect(identity) for identity in self.core_engines]
        # What is made of it lives until it is closed.
        self.kept: list[Any] = []

    def connect(self, identity: bytes) -> Any:
        """Connect a core, and wait until it is there."""
        socket = self.cores.socket(zmq.DEALER)
        socket.identity = identity
        socket.connect(self.address)
        socket.send(b"ready")
        assert self.input_socket.recv_multipart() == [identity, b"ready"]
        return socket

    def close(self) -> None:
        self.input_socket.close(linger=0)
        self.cores.destroy(linger=0)
        self.context.destroy(linger=0)


@pytest.fixture
def client() -> Iterator[Any]:
    client = Client()
    yield client
    client.close()


def connections_of(client: Any) -> CoreConnections:
    client.kept.append(CoreConnections(client, NOTHING))
    made: CoreConnections = client.kept[-1]
    return made


def until_lost(connections: CoreConnections) -> list[int]:
    """What a watch sees, which looks again and again."""
    while not (lost := connections.lost()):
        time.sleep(0.01)
    return lost


def test_a_core_that_ends_is_named(client: Any) -> None:
    connections = connections_of(client)
    assert connections.lost() == []
    client.sockets[1].close(linger=0)
    assert until_lost(connections) == [1]
    assert client.sockets[0].recv_multipart() == list(NOTHING), "what is sent has no effect"


def test_one_that_had_ended_before_anybody_looked_is_named(client: Any) -> None:
    client.core_engines.append(b"\7\0")
    connections = connections_of(client)
    assert connections.lost() == [7]


def test_who_only_looks_which_ports_are_open_is_no_core(client: Any) -> None:
    connections = connections_of(client)
    connections.lost()
    client.connect(b"stranger").close(linger=0)
    connections._news.poll()  # it has been heard of
    assert [connections.lost() for _ in range(LOOKS_AFTER_NEWS + 1)] == [[]] * (
        LOOKS_AFTER_NEWS + 1
    )
    # The first look, and those after the news; then nothing is sent any more.
    assert connections.lost() == []
    for identity, socket in zip(client.core_engines, client.sockets, strict=True):
        client.input_socket.send_multipart([identity, b"last"])
        sent = [socket.recv_multipart() for _ in range(LOOKS_AFTER_NEWS + 2)]
        assert sent == [list(NOTHING)] * (LOOKS_AFTER_NEWS + 1) + [[b"last"]]


def test_an_engine_that_was_shut_down_has_lost_nothing(client: Any) -> None:
    connections = connections_of(client)
    client.sockets[1].close(linger=0)
    client.input_socket.close(linger=0)
    assert connections.lost() == []


# --- The parts of an engine ---


def process(exitcode: int | None = None, name: str = "EngineCore_DP0") -> Any:
    return SimpleNamespace(name=name, pid=7, exitcode=exitcode)


def parts(client: Any, *processes: Any, keeps_its_cores: bool = True) -> UnwatchedParts:
    made = UnwatchedParts(client, processes, lambda: NOTHING, keeps_its_cores=keeps_its_cores)
    client.kept.append(made)
    return made


@pytest.mark.parametrize(
    ("processes", "keeps", "watches"),
    [(0, True, True), (1, True, True), (2, True, False), (1, False, False)],
)
def test_vllm_watches_its_own_processes(
    client: Any, processes: int, keeps: bool, watches: bool
) -> None:
    own = [process() for _ in range(processes)]
    assert bool(parts(client, *own, keeps_its_cores=keeps)) is watches


def test_a_lost_core_is_told_in_words(client: Any) -> None:
    local = process()
    engine = parts(client, local)
    assert engine.ended() is None
    client.sockets[1].close(linger=0)
    while (reason := engine.ended()) is None:
        time.sleep(0.01)
    assert reason.startswith("The connection to the EngineCore of rank 1 was lost")


def test_a_process_of_this_worker_says_more_than_its_connection(client: Any) -> None:
    local = process(-9)
    engine = parts(client, local)
    client.sockets[0].close(linger=0)
    while (reason := engine.ended()) is None:
        time.sleep(0.01)
    assert "EngineCore_DP0 (process 7) was killed by SIGKILL" in reason


def test_a_coordinator_that_ends_is_told(client: Any) -> None:
    proc = process(name="VLLM_DP_Coordinator")
    client.resources.coordinator = SimpleNamespace(proc=proc)
    engine = parts(client, process(), process())
    assert engine
    assert engine.ended() is None
    proc.exitcode = -9
    assert engine.ended() == (
        "VLLM_DP_Coordinator (process 7) was killed by SIGKILL: by somebody, or by the kernel for "
        "want of memory."
    )
