"""Tells systemd, or whatever else has started the worker with ``NOTIFY_SOCKET``, how it is.

The protocol is that of ``sd_notify``: datagrams of lines ``NAME=VALUE`` to one Unix socket. A unit
of ``Type=notify`` counts as started when the worker serves. With ``WatchdogSec=`` the worker says
from its event loop that it lives, so one whose loop stands still is ended and started anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import MutableMapping

logger = logging.getLogger(__name__)

SOCKET = "NOTIFY_SOCKET"
WATCHDOG = "WATCHDOG_USEC"
WATCHDOG_PID = "WATCHDOG_PID"

MICROSECONDS = 1_000_000


class ServiceManager:
    """What is told to the service manager; nothing, where there is none.

    Args:
        own: Whether the worker is the service. It is not if a client has started it, whose service
            the variables are about then.
        environ: The environment, out of which its variables are taken: no child is the service.
    """

    def __init__(self, *, own: bool, environ: MutableMapping[str, str] = os.environ) -> None:
        path = environ.pop(SOCKET, "") if own else ""
        interval, pid = environ.pop(WATCHDOG, ""), environ.pop(WATCHDOG_PID, "")
        environ.pop(SOCKET, None)
        # "@" stands for the zero byte of an abstract socket.
        self._path = "\0" + path[1:] if path.startswith("@") else path
        ours = pid in ("", str(os.getpid()))
        watched = bool(path) and ours and interval.isascii() and interval.isdigit()
        # Twice in the time, as systemd recommends.
        self._interval = int(interval) / MICROSECONDS / 2 if watched else 0.0
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """The worker serves; from here on its loop is watched."""
        self._tell(f"READY=1\nSTATUS={status}")
        if self._interval:
            self._keep_alive()

    def stopping(self, seconds: float, status: str) -> None:
        """The worker stops, and may take so many seconds until it ends by force."""
        self._tell(
            f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(seconds * MICROSECONDS)}\nSTATUS={status}"
        )

    def close(self) -> None:
        """Say no more that the loop runs."""
        if self._timer is not None:
            self._timer.cancel()

    def _keep_alive(self) -> None:
        self._tell("WATCHDOG=1")
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval, self._keep_alive)

    def _tell(self, lines: str) -> None:
        if not self._path:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # The service manager may be busy; the loop does not wait for it.
                sender.setblocking(False)
                sender.sendto(lines.encode(), self._path)
        except OSError as error:
            logger.warning("the service manager at %s is not told: %s", self._path, error)
