"""Nothing outlives the worker, and the worker does not outlive its client.

Three ties hold the processes together:

* The client holds the other end of our stdin. When it goes, even by
  ``kill -9``, stdin ends and so do we.
* Each child asks the kernel to be killed when its parent ends (``child``).
* We lead a process group of our own, which vLLM's children share. What is left
  in it when we stop is killed, and a client that sees us die does the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

STDIN = 0

# Of the flags that the kernel has for a process: it is ending (PF_EXITING).
EXITING = 0x4


def lead_process_group() -> None:
    """Make this process the leader of a process group of its own."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()


def watch_stdin(on_end: Callable[[], None]) -> None:
    """Call ``on_end`` once when stdin ends. What comes on it is ignored."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(STDIN, 4096):
            loop.remove_reader(STDIN)
            on_end()

    loop.add_reader(STDIN, read)


def watch_signals(on_stop: Callable[[], None]) -> None:
    """Call ``on_stop`` on SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop)


def group_members() -> list[int]:
    """The other processes of our group that nobody has killed yet, by process id.

    Without Python's resource tracker: it ends by itself after us, and unlinks
    the shared memory that killed processes leave behind.
    """
    own, group = os.getpid(), os.getpgrp()
    members = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == own:
            continue
        try:
            _, pgrp, _ = stat(name)
            with open(f"/proc/{name}/cmdline", "rb") as file:
                is_tracker = b"multiprocessing.resource_tracker" in file.read()
            if pgrp == group and not is_tracker and not is_going(name):
                members.append(int(name))
        except OSError:  # it ended while we looked
            continue
    return members


def stat(pid: str) -> tuple[bytes, int, int]:
    """The state, process group and flags of a process."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The command name may hold anything but a closing parenthesis after the last one;
        # state, parent, process group and others follow it.
        state, _, group, _, _, _, flags = file.read().rpartition(b")")[2].split()[:7]
    return state, int(group), int(flags)


def is_going(pid: str) -> bool:
    """Whether a process has ended or been killed, and needs a moment to give back its memory."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        pending = [line.split()[1] for line in file if line.startswith(("SigPnd:", "ShdPnd:"))]
    if any(int(signals, 16) >> (signal.SIGKILL - 1) & 1 for signals in pending):
        return True
    # Last, because a SIGKILL that is on its way no more has led to this.
    state, _, flags = stat(pid)
    return state == b"Z" or bool(flags & EXITING)


def kill_group() -> None:
    """Kill what is left in our group beside ourselves."""
    for pid in group_members():
        try:
            os.kill(pid, signal.SIGKILL)
            logger.warning("killed process %d, which was left behind", pid)
        except ProcessLookupError:
            continue


def force_end_after(seconds: float) -> threading.Timer:
    """Kill everything, ourselves last, unless the stop is done in time.

    A thread, because the loop may be what hangs; and an engine that is being
    built cannot be interrupted in any other way.
    """

    def end() -> None:
        kill_group()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer
