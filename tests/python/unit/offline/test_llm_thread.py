"""The thread of an LLM: one call at a time, and a call that is given up is told to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from python_worker.offline.llm_thread import Job, LLMThread, stop_asked


@pytest.fixture
def thread() -> Iterator[LLMThread]:
    thread = LLMThread("an-llm")
    yield thread
    thread.shutdown(cancel_futures=True)


def test_calls_run_in_one_thread_in_their_order(thread: LLMThread) -> None:
    seen: list[int] = []
    jobs = [thread.submit(seen.append, number) for number in range(50)]
    names = {thread.submit(lambda: threading.current_thread().name).result() for _ in range(3)}
    assert [job.result() for job in jobs] == [None] * 50
    assert seen == list(range(50))
    assert names == {"an-llm"}


def test_what_a_call_raises_is_its_own(thread: LLMThread) -> None:
    failing = thread.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failing.result()
    assert thread.submit(lambda: 2).result() == 2


class Blocking:
    """A call that runs until the test lets it, and says whether it was told to stop."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self) -> bool:
        self.begun.set()
        self.go.wait()
        return stop_asked()


async def wait_for(job: Job) -> object:
    """As the dispatcher does."""
    return await asyncio.wrap_future(job)


async def test_a_running_call_that_is_cancelled_is_told_to_stop(thread: LLMThread) -> None:
    blocking = Blocking()
    job = thread.submit(blocking)
    waiting = asyncio.ensure_future(wait_for(job))
    await asyncio.to_thread(blocking.begun.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    blocking.go.set()
    assert job.result() is True
    # The next call is another one.
    assert thread.submit(stop_asked).result() is False


def test_a_call_that_has_not_begun_never_does(thread: LLMThread) -> None:
    blocking = Blocking()
    thread.submit(blocking)
    blocking.begun.wait()
    seen: list[int] = []
    waiting = thread.submit(seen.append, 1)
    assert waiting.cancel()
    blocking.go.set()
    assert thread.submit(lambda: 3).result() == 3
    assert seen == []
    with pytest.raises(CancelledError):
        waiting.result()


def test_outside_of_a_call_nobody_is_told_to_stop() -> None:
    assert stop_asked() is False


def test_an_ended_thread_takes_no_calls_and_answers_those_that_wait() -> None:
    thread, blocking = LLMThread(), Blocking()
    running = thread.submit(blocking)
    blocking.begun.wait()
    waiting = thread.submit(lambda: 1)
    thread.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(CancelledError):
        waiting.result()
    with pytest.raises(RuntimeError, match="was shut down"):
        thread.submit(lambda: 1)
    blocking.go.set()
    assert running.result() is True  # It was told to stop.
    thread.shutdown()


def test_a_thread_ends_after_a_last_call() -> None:
    thread, seen = LLMThread(), threading.Event()
    thread.end(seen.set)
    thread.end(seen.clear)  # It has ended already.
    thread.shutdown()
    assert seen.is_set()


def test_a_thread_is_told_to_stop_what_it_runs() -> None:
    thread, blocking = LLMThread(), Blocking()
    running = thread.submit(blocking)
    blocking.begun.wait()
    thread.stop_running(timeout=0)
    blocking.go.set()
    assert running.result() is True
    thread.stop_running(timeout=60)  # Nothing runs.
    thread.shutdown()
