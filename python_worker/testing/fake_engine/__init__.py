"""A scripted engine in the place of vLLM's, for tests of faults and for speed."""

from __future__ import annotations

from python_worker.testing.fake_engine.engine import FakeAsyncLLM

__all__ = ["FakeAsyncLLM"]
