"""The progress of a call that returns one value at its end, told to its client meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

INTERVAL_SECONDS = 0.1
"""The time between two reports of one call."""


@dataclass(frozen=True)
class Progress:
    """How far a call has come.

    Attributes:
        description: What is counted, such as "Processed prompts".
        done: How many are done.
        total: How many there are; 0 where that is not known.
        elapsed_s: Seconds since the beginning.
        note: More about it in words, such as the speed; may be empty.
    """

    description: str
    done: int
    total: int
    elapsed_s: float
    note: str

    def to_proto(self) -> pb.Progress:
        """The message for it."""
        return pb.Progress(
            description=self.description,
            done=self.done,
            total=self.total,
            elapsed_ms=int(self.elapsed_s * 1000),
            note=self.note,
        )


PROGRESS: ContextVar[Callable[[Progress], None] | None] = ContextVar("progress", default=None)
"""Tells the client of the call that the current context belongs to; may be called in any thread."""


class Counter:
    """Tells the client of the current call how much of a known number is done.

    Args:
        total: How many there are.
        after_s: Seconds from the beginning in which nothing is told. What is over by then is not
            worth a bar.
    """

    def __init__(self, total: int, *, after_s: float = 0.0) -> None:
        self._report, self._total, self._began = PROGRESS.get(), total, time.monotonic()
        self._next = after_s
        self._told = after_s == 0

    def tell(self, description: str, done: int) -> None:
        """Tells that so many are done; the last time always, unless it was over too soon."""
        if self._report is None:
            return
        elapsed = time.monotonic() - self._began
        if elapsed < self._next and not (self._told and done >= self._total):
            return
        self._told, self._next = True, elapsed + INTERVAL_SECONDS
        self._report(Progress(description, done, self._total, elapsed, ""))
