"""Keeps torch's profiler from ending the worker.

An engine with a ``profiler_config`` has a profiler of its front end, in the process of the worker,
that vLLM starts and stops in whatever thread of the event loop's executor is free. Torch keeps a
profile in the thread that has started it, and one for each process. Stopped in another thread, or
started twice, it ends the process with a segmentation fault, and every engine with it.

So all profilers of a worker run in one thread, and an engine is not profiled while another is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from typing_extensions import override

from python_worker.engines.guards.protocols import AsyncLLM, Profiler
from python_worker.exceptions import Conflict

logger = logging.getLogger(__name__)


class ProfilerThread:
    """The thread of all profilers, and whose turn it is."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="profiler")
        self._profiled: OneThreadProfiler | None = None

    def claim(self, profiler: OneThreadProfiler) -> bool:
        """Have a profiler be the one that may start.

        Returns:
            Whether it was not before.

        Raises:
            Conflict: Another has started.
        """
        if self._profiled is profiler:
            return False
        if self._profiled is not None:
            raise Conflict(
                "another engine of this worker is being profiled, and torch has one profile for "
                "each process: stop that one first"
            )
        self._profiled = profiler
        return True

    def release(self, profiler: OneThreadProfiler) -> None:
        """Let another one start, if this may."""
        if self._profiled is profiler:
            self._profiled = None

    def submit(self, function: Callable[..., None], *args: Any) -> Future[None]:
        """Run a function in the thread."""
        return self._thread.submit(function, *args)


THREAD = ProfilerThread()


class OneThreadProfiler:
    """VLLM's profiler of a front end, as vLLM calls it, which runs in the one thread.

    Args:
        profiler: VLLM's.
        thread: Where it runs.
    """

    def __init__(self, profiler: Profiler, thread: ProfilerThread = THREAD) -> None:
        self._profiler = profiler
        self._thread = thread

    def set_output_name(self, worker_name: str) -> None:
        """See vLLM's."""
        self._profiler.set_output_name(worker_name)

    def claim(self) -> bool:
        """See ``ProfilerThread``."""
        return self._thread.claim(self)

    def release(self) -> None:
        """See ``ProfilerThread``."""
        self._thread.release(self)

    def start(self) -> None:
        """Start, and wait until it has; not on the event loop."""
        self._thread.submit(self._profiler.start).result()

    def stop(self) -> None:
        """Stop, and wait until the profile is written; not on the event loop."""
        self._thread.submit(self._end, self._profiler.stop).result()

    def shutdown(self) -> None:
        """Stop if it has started, some time later."""
        self._thread.submit(self._end, self._profiler.shutdown)

    def _end(self, end: Callable[[], None]) -> None:
        try:
            end()
        except Exception:
            logger.exception("a profile could not be ended")
        finally:
            self.release()


class ProfilingGuard(AsyncLLM):
    """Starts and stops the profiler of the front end in one thread, one engine at a time."""

    _own_profiler: OneThreadProfiler | None = None

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        profiler = getattr(self, "profiler", None)
        if profiler is not None:
            self._own_profiler = self.profiler = OneThreadProfiler(profiler)

    @override
    async def start_profile(self, *args: Any, **kwargs: Any) -> None:
        profiler = self._own_profiler
        is_new = profiler is not None and profiler.claim()
        try:
            await super().start_profile(*args, **kwargs)
        except Exception:
            # Of a start that is cancelled nobody knows; it ends with ``stop_profile``.
            if profiler is not None and is_new:
                profiler.release()
            raise

    @override
    def shutdown(self, timeout: float | None = None) -> None:
        super().shutdown(timeout)
        if self._own_profiler is not None:
            self._own_profiler.shutdown()
