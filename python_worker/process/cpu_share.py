"""Lowers the worker's autogroup priority, so that the BEAM is scheduled promptly.

Unless control groups say otherwise, Linux divides the CPU first among sessions (autogroup), and a
program that is started through a port of the BEAM has a session of its own. vLLM's processes wait
for each other in loops of ``sched_yield``, which keep all cores busy while a request runs. On Linux
6.18 with two cores the BEAM's scheduler then got no core for up to 150 ms: the first token of a
single request arrived with its last, 147 ms late.

With nice 5 one first token in twenty was still that late (p95 123 ms, 2.9 in vLLM's own process).
The p95 is 3.8 ms with nice 10 and 3.9 with 19. Beside another busy session the kernel gives a
worker with nice 10 a tenth of a core, with 5 a quarter. So the default, in ``settings``, is 10, and
``--nice`` changes it; ``tests/bench/cpu_share.exs`` compares values by turns.

While an engine loads, the session has the priority that it started with (``raised``): a load is
no loop of waiting, and with a tenth of a core it takes minutes instead of seconds.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

AUTOGROUP = "/proc/self/autogroup"

# Linux takes one change of this kind in a tenth of a second, of all processes together.
TRIES = 20
PAUSE_SECONDS = 0.1


class _Session:
    """The priority of this process's session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nice = 0
        self._loading = 0

    def lower(self, nice: int) -> None:
        """See ``lower_priority``."""
        if nice and os.getsid(0) == os.getpid():
            self._nice = nice
            write(nice)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """See ``raised``."""
        if not self._nice:
            yield
            return
        with self._lock:
            self._loading += 1
            if self._loading == 1:
                write(0)
        try:
            yield
        finally:
            with self._lock:
                self._loading -= 1
                if self._loading == 0:
                    write(self._nice)


_session = _Session()

raised = _session.raised
"""While its block runs, in a thread, the session has its first priority again. It may be nested."""


def lower_priority(nice: int) -> None:
    """Lowers the priority of this process's session, if this process started it.

    Args:
        nice: A nice value, as of nice(1), that the whole session gets. 0 changes nothing.
    """
    _session.lower(nice)


def write(nice: int) -> None:
    """Sets the nice value of this process's session. Some kernels have none."""
    for _ in range(TRIES):
        with suppress(OSError):
            try:
                with open(AUTOGROUP, "w", encoding="ascii") as file:
                    file.write(str(nice))
            except BlockingIOError:
                time.sleep(PAUSE_SECONDS)
                continue
        return
