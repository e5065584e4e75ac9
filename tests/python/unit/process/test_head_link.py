"""A core of a node ends when its head goes, and not when only the handshake is over."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.process import head_link
from python_worker.process.head_link import HEAD_GONE, NODE_VARIABLE, HeadLink, watching

zmq: Any = pytest.importorskip("zmq")


class Head:
    """A head, with a port for the handshake and one for requests."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.sockets = {name: self.context.socket(zmq.ROUTER) for name in ("handshake", "requests")}
        self.addresses = {
            name: f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
            for name, socket in self.sockets.items()
        }

    def close(self, name: str) -> None:
        self.sockets[name].close(linger=0)


@pytest.fixture
def head() -> Iterator[Head]:
    head = Head()
    yield head
    head.context.destroy(linger=0)


class Core:
    """A core, whose sockets are made as vLLM makes them."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.sockets: list[Any] = []
        self.ended: queue.Queue[str] = queue.Queue()
        self.make = watching(self.make_socket, HeadLink(self.ended.put))

    def make_socket(self, context: Any, path: str, socket_type: Any) -> Any:
        socket = context.socket(socket_type)
        self.sockets.append(socket)
        socket.connect(path)
        return socket

    def connect(self, head: Head, name: str) -> None:
        """Connects to a port of the head, and waits until the head has it."""
        socket = self.make(self.context, head.addresses[name], zmq.DEALER)
        socket.send(b"here")
        head.sockets[name].recv_multipart()

    def connect_in_thread(self, head: Head, name: str) -> None:
        thread = threading.Thread(target=self.connect, args=(head, name))
        thread.start()
        thread.join()


@pytest.fixture
def core() -> Iterator[Core]:
    core = Core()
    yield core
    core.context.destroy(linger=0)


def test_a_head_that_goes_before_the_core_has_loaded(head: Head, core: Core) -> None:
    core.connect(head, "handshake")
    head.close("handshake")
    assert core.ended.get(timeout=30) == head.addresses["handshake"]


def test_a_head_that_goes_later(head: Head, core: Core) -> None:
    core.connect(head, "handshake")
    core.connect_in_thread(head, "requests")
    head.close("handshake")  # as every head does when its cores have loaded
    head.close("requests")
    assert core.ended.get(timeout=30) == head.addresses["requests"]
    assert core.ended.empty()


def test_a_core_that_ends_by_itself_leaves_no_thread(head: Head) -> None:
    # What a thread raises fails a test, see pytest's ``filterwarnings``. Which of the two sees the
    # end first differs from time to time.
    for _ in range(50):
        core = Core()
        core.connect(head, "handshake")
        watchers = [thread for thread in threading.enumerate() if thread.name == head_link.THREAD]
        core.context.destroy(linger=0)
        for thread in watchers:
            thread.join(timeout=30)
            assert not thread.is_alive()
        assert watchers
        assert core.ended.empty()


def test_what_is_no_connection_to_the_head_is_not_watched(core: Core, tmp_path: Any) -> None:
    link: Any = SimpleNamespace(watch=None)
    make = watching(core.make_socket, link)
    for path, kind in ((f"ipc://{tmp_path}/s", zmq.DEALER), ("tcp://127.0.0.1:9", zmq.PUSH)):
        make(core.context, path, kind)


def test_only_cores_of_a_node_watch_their_head() -> None:
    def make() -> None:
        raise AssertionError

    module = SimpleNamespace(make_zmq_socket=make)
    head_link.patch_engine_core(module, {})
    assert module.make_zmq_socket is make
    head_link.patch_engine_core(module, {NODE_VARIABLE: "1"})
    assert module.make_zmq_socket is not make
    head_link.patch_engine_core(SimpleNamespace(), {NODE_VARIABLE: "1"})


def test_the_process_ends_with_a_status_of_its_own() -> None:
    code = "from python_worker.process import head_link; head_link.end_process('tcp://head:1')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == HEAD_GONE
    assert "the head at tcp://head:1 has gone" in ended.stderr
