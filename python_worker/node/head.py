"""Waits for a head, and notices its end."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable

from python_worker.process.heartbeats import SILENT_SECONDS

logger = logging.getLogger(__name__)

# How often the head is looked for, and how often the log says that it is not there.
LOOK_SECONDS = 1.0
SAY_SECONDS = 60.0

CONNECT_SECONDS = 5.0


def wait_for(host: str, port: int, sleep: Callable[[float], None] = time.sleep) -> None:
    """Return when something listens at an address. A head does while it builds its engine."""
    logger.info("waiting for the head at %s:%d", host, port)
    said = time.monotonic()
    while True:
        try:
            socket.create_connection((host, port), CONNECT_SECONDS).close()
        except OSError as error:
            if time.monotonic() - said >= SAY_SECONDS:
                said = time.monotonic()
                logger.info("still waiting for the head at %s:%d: %s", host, port, error)
            sleep(LOOK_SECONDS)
        else:
            logger.info("the head at %s:%d is there", host, port)
            return


class HeadConnection:
    """A connection to a head, which nothing is sent over: its end is that of the head.

    Args:
        host: Where the head is.
        port: A port that it holds open as long as it runs.
        gone: Called once, in a thread, when the head has gone.

    Attributes:
        has_ended: Whether it has.
        thread: Waits for that.
    """

    def __init__(self, host: str, port: int, gone: Callable[[], None]) -> None:
        self._socket = socket.create_connection((host, port), CONNECT_SECONDS)
        self._socket.settimeout(None)
        # A host that has vanished does not close it.
        seconds = int(SILENT_SECONDS)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds // 3)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds // 6)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        self._gone = gone
        self._is_closed = False
        self.has_ended = False
        self.thread = threading.Thread(target=self._wait, name="head", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Look no more."""
        self._is_closed = True
        with contextlib.suppress(OSError):  # it has been closed by the other end
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _wait(self) -> None:
        # An error is an end as well: of a host, or of the network.
        with contextlib.suppress(OSError):
            while self._socket.recv(4096):
                continue
        if not self._is_closed:
            self.has_ended = True
            self._gone()
