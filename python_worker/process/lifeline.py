"""Ends the worker with its client, and vLLM's processes with the worker.

* The client holds the other end of the worker's stdin. When the client ends, even by ``kill -9``,
  stdin ends, and the worker stops.
* Each child asks the kernel to be killed when its parent ends (``child``).
* The worker leads a process group of its own, which vLLM's processes share. What is left in it is
  killed when the worker stops. A client that sees the worker end kills it as well.

This package holds what concerns the worker as a process. Its ``__init__`` is empty, because vLLM's
child processes import through it. The modules, in reading order:

===================  =============================================================================
``lifeline``         the process group, stdin, signals, and a forced end
``child``            the first code that runs in vLLM's child processes
``fork_server``      starts vLLM's processes from one that has imported vLLM already
``preloaded``        what that process imports
``vllm_patches``     patches of errors in vLLM that show in its child processes, with
                     ``adapter_loading``, which undoes loads that fail,
                     ``adapter_weights``, which checks what is loaded, ``fresh_blocks``, and
                     ``head_link``, which ends the cores of a node with their head
``heartbeats``       notices a host that has gone without a word
``folder_choice``    chooses where the files of a worker are
``run_folder``       names and removes the files and shared memory of a worker and its children
``unused_memory``    removes the shared memory that dead engines have left
``init_process``     what the worker does as process 1 of a container
``service_manager``  tells systemd that the worker serves, lives and stops
``logs``             sets up the log, as text or as JSON
``cpu_share``        lowers the worker's priority, so that the client is scheduled promptly
``allocator``        has glibc keep the memory of large messages
``versions``         which vLLM is installed
===================  =============================================================================
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

# The kernel's flag of a process that is ending.
PF_EXITING = 0x4


def lead_process_group() -> None:
    """Makes this process the leader of a process group of its own."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()


def watch_stdin(on_end: Callable[[], None]) -> None:
    """Calls ``on_end`` once, when stdin ends. Input is ignored."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(STDIN, 4096):
            loop.remove_reader(STDIN)
            on_end()

    loop.add_reader(STDIN, read)


def watch_signals(on_stop: Callable[[], None]) -> None:
    """Calls ``on_stop`` on SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop)


def group_members() -> list[int]:
    """Returns the ids of the other processes of this group that run and have not been killed.

    Python's resource tracker is left out. It ends by itself after this process, and unlinks shared
    memory that killed processes have left.
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
            if pgrp == group and not is_tracker and not is_ending(name):
                members.append(int(name))
        except OSError:  # it has ended meanwhile
            continue
    return members


def stat(pid: str) -> tuple[bytes, int, int]:
    """Returns the state, process group and flags of a process."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The second field is the program's name in parentheses, which may hold parentheses and
        # spaces. After it come state, parent, process group and others.
        state, _, group, _, _, _, flags = file.read().rpartition(b")")[2].split()[:7]
    return state, int(group), int(flags)


def is_ending(pid: str) -> bool:
    """Whether a process has ended or been killed, though it still has to release its memory."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        pending = [line.split()[1] for line in file if line.startswith(("SigPnd:", "ShdPnd:"))]
    if any(int(signals, 16) >> (signal.SIGKILL - 1) & 1 for signals in pending):
        return True
    # After the pending signals: a SIGKILL that was delivered in between shows here.
    state, _, flags = stat(pid)
    return state == b"Z" or bool(flags & PF_EXITING)


def kill_group() -> None:
    """Kills the other processes of this group."""
    for pid in group_members():
        try:
            os.kill(pid, signal.SIGKILL)
            logger.warning("killed process %d, which was left behind when the worker stopped", pid)
        except ProcessLookupError:
            continue


def force_end_after(seconds: float, clean_up: Callable[[], None]) -> threading.Timer:
    """Kills the group and then this process, unless the timer is cancelled in time.

    ``clean_up`` is called in between. The timer is a thread, because the event loop may hang, and
    because nothing else interrupts the construction of an engine.
    """

    def end() -> None:
        kill_group()
        try:
            clean_up()
        finally:
            os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer
