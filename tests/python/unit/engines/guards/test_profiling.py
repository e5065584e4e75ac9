"""Torch's profiler runs in one thread, for one engine at a time: otherwise it ends the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from python_worker.engines.guards.guarded import compose
from python_worker.engines.guards.profiling import ProfilingGuard
from python_worker.exceptions import Conflict
from tests.python.support.engine_class import EngineClass


class Profiler:
    """In place of vLLM's: keeps what is done in which thread."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.is_over = threading.Event()

    def _note(self, what: str) -> None:
        self.done.append((what, threading.current_thread().name))

    def set_output_name(self, worker_name: str) -> None:
        self.name = worker_name

    def start(self) -> None:
        self._note("start")

    def stop(self) -> None:
        self._note("stop")

    def shutdown(self) -> None:
        self._note("shutdown")
        self.is_over.set()


class Profiled(EngineClass):
    """An engine that profiles as vLLM's does."""

    def __init__(self, refusal: BaseException | None = None) -> None:
        super().__init__()
        self.profiler: Any = Profiler()
        self.plain = self.profiler
        self.refusal = refusal

    async def start_profile(self, prefix: str | None = None) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.profiler.set_output_name(prefix)
        await in_new_thread(self.profiler.start)

    async def stop_profile(self) -> None:
        await in_new_thread(self.profiler.stop)


async def in_new_thread(function: Callable[[], None]) -> None:
    """What ``asyncio.to_thread`` does where all threads are busy."""
    with ThreadPoolExecutor(1) as threads:
        await asyncio.get_running_loop().run_in_executor(threads, function)


def engine(**arguments: Any) -> Any:
    return compose(Profiled, (ProfilingGuard,))(**arguments)


async def test_profiles_start_and_stop_in_one_thread() -> None:
    one, two = engine(), engine()
    for it in (one, two, one):
        await it.start_profile("mine")
        await it.stop_profile()
    done = one.plain.done + two.plain.done
    assert [what for what, _ in done] == ["start", "stop"] * 3
    assert len({thread for _, thread in done}) == 1
    assert one.plain.name == "mine"


async def test_one_engine_is_profiled_at_a_time() -> None:
    one, two = engine(), engine()
    await one.start_profile()
    with pytest.raises(Conflict, match="another engine of this worker is being profiled"):
        await two.start_profile()
    await two.stop_profile()  # of one that has not started: nothing changes
    with pytest.raises(Conflict):
        await two.start_profile()
    await one.stop_profile()
    await two.start_profile()
    await two.stop_profile()


async def test_a_start_that_is_refused_keeps_no_other_from_starting() -> None:
    refused, other = engine(refusal=ValueError("no such folder")), engine()
    with pytest.raises(ValueError, match="no such folder"):
        await refused.start_profile()
    await other.start_profile()
    await other.stop_profile()


async def test_a_second_start_that_is_refused_changes_nothing() -> None:
    one, other = engine(), engine()
    await one.start_profile()
    one.refusal = RuntimeError("already active")
    with pytest.raises(RuntimeError):
        await one.start_profile()
    with pytest.raises(Conflict):
        await other.start_profile()
    await one.stop_profile()


async def test_a_start_that_is_cancelled_may_have_started() -> None:
    one, other = engine(refusal=asyncio.CancelledError()), engine()
    with pytest.raises(asyncio.CancelledError):
        await one.start_profile()
    with pytest.raises(Conflict):
        await other.start_profile()
    await one.stop_profile()
    await other.start_profile()
    await other.stop_profile()


async def test_the_profile_of_an_engine_ends_with_it() -> None:
    one, other = engine(), engine()
    await one.start_profile()
    one.shutdown()
    assert one.plain.is_over.wait(timeout=60)
    # In the same thread, so it comes after.
    one._own_profiler._thread.submit(lambda: None).result()
    await other.start_profile()
    await other.stop_profile()


async def test_an_engine_without_a_profiler_of_its_front_end_is_as_it_was() -> None:
    class Plain(EngineClass):
        async def start_profile(self) -> str:
            return "started"

    plain: Any = compose(Plain, (ProfilingGuard,))()
    await plain.start_profile()
    plain.shutdown()
