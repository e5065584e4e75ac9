"""An LLM is built in a thread of its own, and does not outlive one who has left."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from python_worker.engines.builder import Builder
from python_worker.exceptions import InvalidArgument, NotServed
from python_worker.offline.arguments import construct
from python_worker.offline.builder import LLMBuilder
from python_worker.offline.llm_guard import BatchGuard
from tests.python.support.worker import FAKE_ENGINE


@pytest.fixture
def builder() -> LLMBuilder:
    return LLMBuilder(Builder(FAKE_ENGINE))


async def test_an_object_runs_in_the_thread_that_built_it(builder: LLMBuilder) -> None:
    llm: Any = await builder.build("new", ["fake"], {})
    assert isinstance(llm, BatchGuard)
    assert type(llm).__name__ == "LLM"
    other: Any = await builder.build("new", ["fake"], {})
    assert llm._thread is not other._thread
    for it in (llm, other):
        await it.shutdown()
        assert it.errored


async def test_a_wrong_argument_leaves_no_thread(builder: LLMBuilder) -> None:
    before = threading.active_count()
    with pytest.raises(InvalidArgument):
        await builder.build("new", ["fake"], {"bogus": 1})
    for thread in threading.enumerate():
        if thread.name == "llm":
            thread.join(60)
    assert threading.active_count() <= before


async def test_one_that_nobody_waits_for_is_shut_down(
    builder: LLMBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, made = threading.Event(), threading.Event(), []

    def slow(*args: Any) -> Any:
        begun.set()
        go.wait()
        made.append(construct(*args))
        return made[0]

    monkeypatch.setattr("python_worker.offline.builder.construct", slow)
    building = asyncio.ensure_future(builder.build("new", ["fake"], {}))
    await asyncio.to_thread(begun.wait)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    go.set()
    async with asyncio.timeout(60):
        while not (made and made[0].errored):  # noqa: ASYNC110
            await asyncio.sleep(0)


def test_an_engine_class_without_an_llm_has_none() -> None:
    with pytest.raises(NotServed, match="offline_class"):
        _ = LLMBuilder(Builder("tests.python.support.engine_class:EngineClass")).llm_class
