"""vLLM's AsyncLLM, with the times of its aborts."""

from __future__ import annotations

from python_worker.engines.builder import import_async_llm
from tests.bench.timed_aborts import TimedAborts

AsyncLLM = import_async_llm()


class TimedAsyncLLM(TimedAborts, AsyncLLM):  # type: ignore[misc]
    """See ``timed_aborts``."""
