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
"""

from __future__ import annotations

import os
from contextlib import suppress

AUTOGROUP = "/proc/self/autogroup"


def lower_priority(nice: int) -> None:
    """Lowers the priority of this process's session, if this process started it.

    Args:
        nice: A nice value, as of nice(1), that the whole session gets. 0 changes nothing.
    """
    if nice and os.getsid(0) == os.getpid():
        with suppress(OSError), open(AUTOGROUP, "w", encoding="ascii") as file:
            file.write(str(nice))
