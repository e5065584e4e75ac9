"""Tells clients how much the engines of this worker have to do.

A client that has several workers sends a request to the one with the least load. So each engine is
looked at ten times a second, and what has changed is told, with the frames that are sent anyway.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from python_worker.dispatch.references import Entry, References
from python_worker.engines.load import Load, load_of
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.wire import server_frames

# How soon a change is told at the latest is twice this. A look takes some microseconds.
INTERVAL_SECONDS = 0.1

# The class whose engines several clients share. An LLM runs one batch after the other.
CLASS = "AsyncLLM"


class Audience(Protocol):
    """Whoever is told: the sessions."""

    def put_load(self, ref_id: str, engine: object, load: bytes) -> None:
        """Have every client that may use an engine be told of its load."""

    def forget_load(self, ref_id: str) -> None:
        """An engine is there no more."""

    def send_loads(self) -> None:
        """Send what waits, where no frame has been sent since the last time."""


class EngineLoads:
    """Looks at the engines, and tells what has changed.

    Args:
        references: Where the engines are.
        audience: Whoever is told.
    """

    def __init__(self, references: References, audience: Audience) -> None:
        self._references = references
        self._audience = audience
        # What was told, with how many outputs there had been.
        self._told: dict[str, tuple[Load, int]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on, until ``stop``."""
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_SECONDS, self._tick)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self.start()
        self.look()

    def look(self) -> None:
        """Tell what has changed since the last look."""
        there = {it.id: it for it in self._references.pinned() if it.type == CLASS}
        for ref_id in self._told.keys() - there.keys():
            del self._told[ref_id]
            self._audience.forget_load(ref_id)
        for entry in there.values():
            self._look_at(entry)
        self._audience.send_loads()

    def _look_at(self, entry: Entry) -> None:
        engine = entry.target
        # An engine class of somebody else may tell neither.
        if not hasattr(engine, "get_num_unfinished_requests"):
            return
        load = load_of(engine)
        # A load that is as it was may be that of other requests, which a client that counts what it
        # has sent since has to know.
        now = load, getattr(engine, "_outputs_handled", 0)
        if self._told.get(entry.id) == now:
            return
        self._told[entry.id] = now
        told = pb.EngineLoad(ref=entry.id, **load._asdict())
        self._audience.put_load(entry.id, engine, server_frames.load(told))
