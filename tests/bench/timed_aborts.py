"""When requests end in an engine, by the clock that the whole machine shares.

``tests/bench/cancel.exs`` asks for it. The clock is CLOCK_MONOTONIC, which is the BEAM's
``os:perf_counter`` as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any


class TimedAborts:
    """Goes before an engine class: notes when an abort begins and when the engine is told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._times: dict[str, tuple[int, int]] = {}
        self._ended = asyncio.Event()

    async def abort(self, request_id: str | Iterable[str], internal: bool = False) -> None:
        """Ends requests in the engine."""
        began = time.perf_counter_ns()
        await super().abort(request_id, internal)  # type: ignore[misc]
        told = time.perf_counter_ns()
        for one in [request_id] if isinstance(request_id, str) else request_id:
            self._times.setdefault(one, (began, told))
        self._ended.set()

    async def wait_ended_at(self, request_id: str) -> tuple[int, int]:
        """Returns when the first abort of a request began, and when the engine had been told."""
        while True:
            for known, times in self._times.items():
                # The engine's own ids are the client's and some more.
                if known == request_id or known.startswith(f"{request_id}-"):
                    self._times.clear()
                    return times
            self._ended.clear()
            await self._ended.wait()
