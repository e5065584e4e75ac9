"""Ends a build that nobody waits for any more.

While vLLM builds an engine it waits for its cores without a limit: for one that never comes from
another host, or that loads for hours. A thread cannot be interrupted, and so the build would keep
its thread, its processes and its ports for as long as the worker lives.

VLLM can watch processes of a front end while it waits, and gives up when one of them ends. Here the
build itself is such a process: it ends when the caller has left. Then vLLM does what it does after
every failure, and ends what it has begun.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

# When all cores have loaded, vLLM waits for a message from each at its port for requests, which a
# firewall may block. A message of a core that it does not know ends that.
UNKNOWN_CORE = b"abandoned"
LINGER_MILLISECONDS = 5000


class Abandonment:
    """Says whether a build has been given up; for vLLM, a process of the front end.

    Attributes:
        name: What vLLM's error calls it.
        sentinel: A file descriptor that can be read once the build has been given up.
        exitcode: None until then.
    """

    name = "the caller that the engine is built for"

    def __init__(self) -> None:
        self.sentinel = os.eventfd(0, os.EFD_CLOEXEC)
        self.exitcode: int | None = None
        self._lock = threading.Lock()
        self._is_over = False
        self._address: str | None = None

    def expect_cores(self, address: str) -> None:
        """From now on vLLM waits for its cores.

        Args:
            address: Where they will ask for requests.
        """
        self._address = address

    def give_up(self) -> None:
        """End the build, unless it is over."""
        with self._lock:
            if self._is_over or self.exitcode is not None:
                return
            self.exitcode = 0
            os.eventfd_write(self.sentinel, 1)
            if self._address is not None:
                _send_as_unknown_core(self._address)

    def close(self) -> None:
        """The build is over."""
        with self._lock:
            self._is_over = True
            os.close(self.sentinel)


def _send_as_unknown_core(address: str) -> None:
    import zmq  # comes with vLLM

    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    with socket:
        socket.setsockopt(zmq.IDENTITY, UNKNOWN_CORE)
        socket.setsockopt(zmq.LINGER, LINGER_MILLISECONDS)
        socket.connect(address)
        socket.send(b"")


CURRENT: ContextVar[Abandonment | None] = ContextVar("the build of this thread", default=None)
"""The build that runs in this thread."""

Launch = Callable[..., AbstractContextManager[Any]]


def watched(launch: Launch) -> Launch:
    """VLLM's ``launch_core_engines``, changed to watch the build of its thread."""

    @functools.wraps(launch)
    @contextmanager
    def launching(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with launch(*args, **kwargs) as launched:
            build = CURRENT.get()
            if build is not None:
                build.expect_cores(launched.addresses.inputs[0])
                watched_before = launched.watched_frontend_processes
                launched.watched_frontend_processes = (*watched_before, build)
            yield launched

    return launching
