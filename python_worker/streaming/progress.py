"""The progress of a call that returns one value at its end, told to its client meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb


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
