"""Runs a command, and fails if a process that it started is alive after it has ended.

    python tests/leaving_nothing.py mix test

vLLM's processes survive their parent unless somebody sees to it, so every test run and the demo
are watched from outside. As a *subreaper* this process inherits every orphan among its
descendants (a group or a session of their own does not hide them), and nothing else: a process
that somebody else runs on this machine is never looked at.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36

# vLLM's children need a moment to notice that their parent is gone, on a busy machine a longer one.
GRACE_SECONDS = 60.0

# Erlang's port mapper is meant to stay: a distributed test node starts it for the whole machine.
MEANT_TO_STAY = ("epmd",)


def main(command: list[str]) -> int:
    """Runs `command`; returns its exit status, or 1 if it left processes behind."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Ctrl-C reaches the command itself, which then ends; we stay to look for what it leaves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, preexec_fn=lambda: signal.signal(2, signal.SIG_DFL))
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    status = _wait_reaping(child.pid)
    if leftovers := _leftovers():
        print(f"\n{command[0]} left {len(leftovers)} processes behind:", file=sys.stderr)
        for pid, name in leftovers.items():
            print(f"  {pid}  {name}", file=sys.stderr)
            os.kill(pid, signal.SIGKILL)
        return status or 1
    return status


def _wait_reaping(pid: int) -> int:
    """Waits for `pid`, and meanwhile buries orphans: a zombie looks alive to the tests."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _leftovers() -> dict[int, str]:
    """Processes that are still ours when the grace period is over, with their command lines."""
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        while _reap_one():
            pass
        alive = {pid: name for pid in _descendants() if (name := _command_line(pid)) is not None}
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.05)


def _reap_one() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything; what follows it does not.
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _command_line(pid: int) -> str | None:
    """The command line, or None if the process is gone or meant to stay."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return None
    if name in MEANT_TO_STAY:
        return None
    return b" ".join(arguments).decode(errors="replace").strip() or f"[{name}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
