"""How the processes of an engine ended, in words."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Protocol


class Process(Protocol):
    """A process of multiprocessing."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def pid(self) -> int | None:
        """Its id."""

    @property
    def exitcode(self) -> int | None:
        """How it ended; None while it runs, and below zero where a signal ended it."""


def processes_of(manager: object) -> tuple[Process, ...]:
    """The processes of an engine manager of vLLM's; none with Ray, where they are not ours."""
    return tuple(getattr(manager, "processes", ()))


def describe_exits(processes: Sequence[Process]) -> str:
    """How the processes of an engine ended, those that a signal ended first."""
    ended = [(it, it.exitcode) for it in processes]
    known = sorted(((it, code) for it, code in ended if code is not None), key=lambda it: it[1])
    if not known:
        return "It reported a fatal error, which its log has."
    return " ".join(f"{it.name} (process {it.pid}) {describe(code)}." for it, code in known)


def describe(exitcode: int) -> str:
    """An exit code of multiprocessing's, in words."""
    if exitcode == -signal.SIGKILL:
        return "was killed by SIGKILL: by somebody, or by the kernel for want of memory"
    if exitcode < 0:
        try:
            name = signal.Signals(-exitcode).name
        except ValueError:
            name = f"signal {-exitcode}"
        return f"was ended by {name}"
    if exitcode == 0:
        return "ended with status 0, as when somebody tells it to stop (SIGTERM)"
    return f"ended with status {exitcode}, after a fatal error that its log has"
