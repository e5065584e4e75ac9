"""An executor fails when a worker process on another host goes, and not when it ends itself."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.process import remote_workers

zmq: Any = pytest.importorskip("zmq")


class RemoteWorker:
    """The end of a worker process: publishes its results."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"

    def end(self) -> None:
        self.context.destroy(linger=0)


class Executor:
    """As vLLM's: rank 0 is on its host, the others are not."""

    def __init__(self, workers: list[RemoteWorker], nnodes: int = 2) -> None:
        self.parallel_config = SimpleNamespace(nnodes_within_dp=nnodes)
        self.local_world_size = 1
        self.is_failed = self.shutting_down = False
        self.said: queue.Queue[str] = queue.Queue()
        self.failure_callback: Any = lambda: self.said.put("failed")
        self.contexts = [zmq.Context() for _ in workers]
        self.response_mqs: list[Any] = [SimpleNamespace(remote_socket=None)]
        for context, worker in zip(self.contexts, workers, strict=True):
            socket = context.socket(zmq.SUB)
            socket.setsockopt_string(zmq.SUBSCRIBE, "")
            socket.connect(worker.address)
            assert worker.socket.recv()  # the subscription: they are connected
            self.response_mqs.append(SimpleNamespace(remote_socket=socket))
        self._post_init_executor()

    def _post_init_executor(self) -> None:
        """Does nothing, as vLLM's."""

    def shutdown(self) -> None:
        self.shutting_down = True
        self.said.put("shut down")

    def close(self) -> None:
        """What vLLM does with the queues that it has put away: the sockets, then their contexts."""
        for context, mq in zip(self.contexts, self.response_mqs[1:], strict=True):
            mq.remote_socket.close(linger=0)
            context.term()


class Patched(Executor):
    """Made by the patched module."""


remote_workers.patch_multiproc_executor(SimpleNamespace(MultiprocExecutor=Patched))


def watchers() -> list[threading.Thread]:
    return [it for it in threading.enumerate() if it.name == remote_workers.THREAD]


@pytest.fixture
def workers() -> Iterator[list[RemoteWorker]]:
    workers = [RemoteWorker(), RemoteWorker()]
    yield workers
    for worker in workers:
        worker.end()
    for thread in watchers():
        thread.join(timeout=30)
    assert watchers() == []


def test_the_end_of_a_worker_on_another_host_ends_the_engine(
    workers: list[RemoteWorker], caplog: pytest.LogCaptureFixture
) -> None:
    executor = Patched(workers)
    workers[1].end()
    assert [executor.said.get(timeout=30) for _ in range(2)] == ["failed", "shut down"]
    assert executor.is_failed
    assert "the worker process of rank 2 was lost" in caplog.text
    # Another one is no more news.
    workers[0].end()
    executor.close()
    for thread in watchers():
        thread.join(timeout=30)
    assert executor.said.empty()


def test_an_executor_that_ends_itself_has_not_failed(workers: list[RemoteWorker]) -> None:
    executor = Patched(workers)
    executor.shutdown()
    workers[0].end()
    executor.close()
    for thread in watchers():
        thread.join(timeout=30)
    assert not executor.is_failed
    assert executor.said.get() == "shut down"
    assert executor.said.empty()


@pytest.mark.parametrize("times", range(20))
def test_its_sockets_can_be_closed_while_they_are_watched(
    workers: list[RemoteWorker], times: int
) -> None:
    executor = Patched(workers)
    assert len(watchers()) == 2
    executor.close()
    for thread in watchers():
        thread.join(timeout=30)
    assert not executor.is_failed


def test_on_one_host_nothing_is_watched(workers: list[RemoteWorker]) -> None:
    executor = Patched(workers, nnodes=1)
    assert watchers() == []
    executor.close()


def test_a_version_without_the_place_stays_as_it_is() -> None:
    for module in (SimpleNamespace(), SimpleNamespace(MultiprocExecutor=SimpleNamespace())):
        before = dict(vars(module))
        remote_workers.patch_multiproc_executor(module)
        assert vars(module) == before
