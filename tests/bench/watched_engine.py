"""vLLM's AsyncLLM with a watchdog of the event loop: ``tests/bench/loop_gaps.py`` asks for it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from typing import Any

from python_worker.engines.builder import import_async_llm
from tests.bench.loop_shapes import SHOW_STACKS

AsyncLLM = import_async_llm()

PAUSE_SECONDS = 0.001

GAP_SECONDS = 0.04


class WatchedAsyncLLM(AsyncLLM):  # type: ignore[misc]
    """See the module's documentation."""

    _longest = _last = 0.0
    _watchdog: asyncio.Task[None] | None = None

    async def reset_watch(self) -> None:
        """Forgets the gaps so far; the first call starts the watchdog."""
        if self._watchdog is None:
            self._watchdog = asyncio.create_task(self._watch())
            if os.environ.get(SHOW_STACKS):
                threading.Thread(target=self._show_stacks, daemon=True).start()
        self._longest = 0.0

    async def longest_gap(self) -> float:
        """Returns for how long, in seconds, the loop did not run at most since the reset."""
        return self._longest

    async def _watch(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            now = time.perf_counter()
            self._longest = max(self._longest, now - last - PAUSE_SECONDS)
            last = self._last = now

    def _show_stacks(self) -> None:
        while True:
            time.sleep(GAP_SECONDS / 4)
            late = time.perf_counter() - self._last
            if late < GAP_SECONDS:
                continue
            print(f"--- no turn of the loop for {1000 * late:.0f} ms", file=sys.stderr)
            for name, frame in self._busy_threads():
                lines = traceback.format_stack(frame)[-5:]
                print(name, "".join(lines), sep="\n", file=sys.stderr, flush=True)

    def _busy_threads(self) -> list[tuple[str, Any]]:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        return [
            (names.get(ident, "?"), frame)
            for ident, frame in sys._current_frames().items()
            if ident != threading.get_ident()
            and frame.f_code.co_name not in ("wait", "_worker", "_watch_queue", "poll", "select")
        ]
