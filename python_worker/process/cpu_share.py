"""Lets the client have the CPU when something for it has come.

Where no control groups say otherwise, Linux divides the CPU first among sessions
(autogroup), and whoever starts a program through a port of the BEAM gives it a
session of its own. vLLM's processes wait for each other in loops of
``sched_yield``, which keeps cores busy while a request runs; on Linux 6.18 with
two cores, the BEAM's scheduler was then not given one of them for up to 150 ms:
the first token of a lone request arrived with its last, 147 ms late. With a
session that is a little less important than others it arrives after 4 ms at the
median, in vLLM's own process after 3; one in twenty is still late.
"""

from __future__ import annotations

import os
from contextlib import suppress

AUTOGROUP = "/proc/self/autogroup"

# As of nice(1). At 1 and 2 tokens still came late. What it costs is not more than what can be told
# from noise: by turns with 0, twelve times on two full cores, 16 streams had 1.04 of the speed in
# process with it and 0.89 without, 64 streams 1.03 and 1.01.
NICE = 5


def give_way() -> None:
    """Make our session a little less important, if it is ours alone."""
    if os.getsid(0) == os.getpid():
        with suppress(OSError), open(AUTOGROUP, "w", encoding="ascii") as file:
            file.write(str(NICE))
