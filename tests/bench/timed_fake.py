"""The fake engine, with the times of its aborts."""

from __future__ import annotations

from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from tests.bench.timed_aborts import TimedAborts


class TimedFakeAsyncLLM(TimedAborts, FakeAsyncLLM):
    """See ``timed_aborts``."""
