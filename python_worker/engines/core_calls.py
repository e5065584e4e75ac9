"""Calls of EngineCore's that go on to their end where the caller leaves.

EngineCore finishes what it has been told, so whatever follows it has to follow it
to the end as well: a caller that is cancelled in the middle would leave behind a
state that nobody knows of. Only the death of the engine ends such work early:
vLLM leaves what waits for a dead EngineCore waiting for ever, and the engine with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

# How often an engine is looked at while a call of it runs; vLLM tells nobody of its end.
LOOK_SECONDS = 0.1


class Mortal(Protocol):
    """An engine, as far as its death goes."""

    @property
    def errored(self) -> bool:
        """Whether it is dead."""

    @property
    def dead_error(self) -> BaseException:
        """Why."""


class CoreCalls:
    """The work of one engine that outlives its callers."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def begin(self, engine: Mortal, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin work. Whoever awaits the task shields it, and there may be several."""
        running = asyncio.get_running_loop().create_task(_while_alive(engine, work))
        self._running.add(running)
        running.add_done_callback(self._ended)
        return running

    async def to_the_end(self, engine: Mortal, work: Coroutine[Any, Any, Any]) -> Any:
        """Do work, which goes on where the caller is cancelled."""
        return await asyncio.shield(self.begin(engine, work))

    def _ended(self, running: asyncio.Task[Any]) -> None:
        self._running.discard(running)
        if not running.cancelled():
            running.exception()  # Nobody is left to hear it where the caller has left.


async def _while_alive(engine: Mortal, work: Coroutine[Any, Any, Any]) -> Any:
    running = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({running}, timeout=LOOK_SECONDS))[0]:
            if engine.errored:
                raise engine.dead_error
        return running.result()
    finally:
        running.cancel()
