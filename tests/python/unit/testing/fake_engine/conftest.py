"""A fake engine of its own for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_vllm.types import AsyncEngineArgs


@pytest.fixture
async def engine() -> AsyncIterator[FakeAsyncLLM]:
    engine = FakeAsyncLLM.from_engine_args(AsyncEngineArgs())
    yield engine
    engine.shutdown()
