"""Looks whether an engine lives, because vLLM tells its death only to streams.

A utility call that waits for EngineCore waits for ever when it dies, and a
client without a call hears nothing at all. So each engine is looked at twice a
second: its calls are stopped with the reason, and every session gets a notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from python_worker.call import Call

# vLLM knows within 30 ms of the end of EngineCore; this is how soon we ask.
INTERVAL_SECONDS = 0.5


class Mortal(Protocol):
    """An engine, as far as its death goes."""

    @property
    def errored(self) -> bool:
        """Whether EngineCore is gone."""

    @property
    def dead_error(self) -> BaseException:
        """What calls of a dead engine fail with."""


class Watch:
    """Watches one engine from its building to its shutdown.

    Args:
        engine: The engine.
        on_death: Called once with the reason when the engine is found dead.
    """

    def __init__(self, engine: Mortal, *, on_death: Callable[[BaseException], None]) -> None:
        self._engine = engine
        self._on_death: Callable[[BaseException], None] | None = on_death
        self._calls: set[Call] = set()
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_SECONDS, self._look)

    @contextmanager
    def over(self, call: Call) -> Iterator[None]:
        """Stop the call when the engine dies meanwhile."""
        self._calls.add(call)
        try:
            yield
        finally:
            self._calls.discard(call)

    def expect_end(self) -> None:
        """The engine is being shut down: its end is not to be announced."""
        self._on_death = None

    def stop(self) -> None:
        """Look once more, for calls that the end has left waiting, and no more."""
        self._end_calls()
        self._timer.cancel()

    def _end_calls(self) -> None:
        if self._engine.errored:
            for call in list(self._calls):
                call.stop(self._engine.dead_error)

    def _look(self) -> None:
        self._end_calls()
        if self._engine.errored and self._on_death is not None:
            self._on_death(self._engine.dead_error)
            self._on_death = None
        # Also after the death: a call may come in later and wait as well.
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_SECONDS, self._look)
