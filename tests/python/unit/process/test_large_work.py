"""Large work runs in threads, and the loop's own work in turns."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.process import large_work
from python_worker.process.large_work import (
    LARGE_WORK,
    SWITCH_SECONDS,
    TURN_SECONDS,
    VERY_LARGE,
    RestingCollector,
)

SETTING: contextvars.ContextVar[int] = contextvars.ContextVar("SETTING")


def thread() -> str:
    return threading.current_thread().name.rsplit("_", 1)[0]


@pytest.mark.parametrize(
    ("size", "name"),
    [(1, "large"), (VERY_LARGE - 1, "large"), (VERY_LARGE, "largest"), (10**9, "largest")],
)
async def test_the_largest_work_has_a_thread_of_its_own(size: int, name: str) -> None:
    assert await large_work.run(size, thread) == name


async def test_the_largest_work_does_not_hold_up_large_work() -> None:
    may_end = threading.Event()
    first = asyncio.ensure_future(large_work.run(VERY_LARGE, may_end.wait))
    assert await large_work.run(LARGE_WORK, lambda: "done") == "done"
    assert not first.done()
    may_end.set()
    await first


async def test_small_work_runs_at_once() -> None:
    assert await large_work.run_if_large(LARGE_WORK - 1, thread) == thread()
    assert await large_work.run_if_large(LARGE_WORK, thread) == "large"


async def test_the_context_of_the_caller_is_seen() -> None:
    SETTING.set(7)
    assert await large_work.run(1, SETTING.get) == 7


async def test_errors_pass_through() -> None:
    def fail() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        await large_work.run(1, fail)
    loop = asyncio.get_running_loop()
    with pytest.raises(LookupError, match="lost"):
        await large_work.run(1, lambda: large_work.on_loop(loop, fail))


async def test_a_thread_can_have_something_done_on_the_loop() -> None:
    loop, here = asyncio.get_running_loop(), thread()
    assert await large_work.run(1, lambda: (large_work.on_loop(loop, thread), thread())) == (
        here,
        "large",
    )


def test_steps_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(large_work, "TURN_SECONDS", 3)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    taken: list[int] = []

    def steps() -> Iterator[None]:
        for n in range(10):
            taken.append(n)
            yield

    assert [len(taken) for _ in large_work.turns(steps())] == [4, 8]
    assert taken == list(range(10))


def test_a_busy_thread_gives_up_the_lock_soon() -> None:
    before = sys.getswitchinterval()
    try:
        large_work.let_threads_take_turns()
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    finally:
        sys.setswitchinterval(before)


def test_a_turn_is_over_when_the_loops_clock_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    loop: Any = SimpleNamespace(time=lambda: 100.0)
    for now, over in ((100.0, False), (100.0 + TURN_SECONDS, False), (101.0, True)):
        monkeypatch.setattr("time.monotonic", lambda now=now: now)
        assert large_work.is_over(loop) == over


async def test_inline_all_work_is_done_at_once() -> None:
    here = threading.current_thread()
    with large_work.inline():
        assert large_work.is_inline()
        for work in (
            large_work.run(VERY_LARGE, threading.current_thread),
            large_work.in_thread(threading.current_thread),
        ):
            with pytest.raises(StopIteration) as stop:  # it has not waited
                work.send(None)
            assert stop.value.value is here
    assert not large_work.is_inline()
    assert await large_work.in_thread(threading.current_thread) is not here


@pytest.fixture
async def rests(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RestingCollector]:
    """A collector that works again when the test has ended."""
    monkeypatch.setattr(large_work, "COLLECTION_REST_SECONDS", 0.001)
    gc.enable()  # A test before may have ended with its loop, before the rest was over.
    yield RestingCollector()
    gc.enable()


async def until_collecting() -> None:
    async with asyncio.timeout(30):
        while not gc.isenabled():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_the_garbage_collector_rests_during_very_large_work(
    rests: RestingCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_work, "_collector", rests)
    assert not await large_work.run(VERY_LARGE, gc.isenabled)
    await until_collecting()
    assert await large_work.run(VERY_LARGE - 1, gc.isenabled)


async def test_it_rests_until_the_last_of_several_works_has_ended(rests: RestingCollector) -> None:
    loop = asyncio.get_running_loop()
    with rests.resting(loop):
        with rests.resting(loop):
            pass
        rests._finish(loop)  # the time of the inner one is up
        assert not gc.isenabled()
    await until_collecting()


async def test_it_does_not_rest_for_ever(
    rests: RestingCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_work, "COLLECTION_REST_LIMIT_SECONDS", 0.0)
    loop = asyncio.get_running_loop()
    with rests.resting(loop):
        with rests.resting(loop):
            pass
        await until_collecting()


async def test_a_collector_that_somebody_has_switched_off_stays_so(rests: RestingCollector) -> None:
    gc.disable()
    loop = asyncio.get_running_loop()
    with rests.resting(loop):
        pass
    rests._finish(loop)
    assert not gc.isenabled()
