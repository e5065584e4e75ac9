"""The waits of an LLMEngine end: by an output, a stop, a sleep, or the death of EngineCore."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from python_worker.exceptions import Cancelled, Conflict
from python_worker.offline.engine_guard import OutputsQueue
from python_worker.offline.llm_thread import LLMThread
from tests.python.support.offline_classes import outputs


def test_the_model_runs_in_processes_of_its_own(engine: Any) -> None:
    assert engine.multiprocess_mode is True


def test_a_step_returns_what_has_come(engine: Any) -> None:
    engine.add_request("a", [1], None)
    engine.engine_core.outputs_queue.put_nowait(outputs("a"))
    assert [it.request_id for it in engine.step()] == ["a"]
    assert engine._steps == 1


def test_without_requests_a_step_waits_for_nothing(engine: Any) -> None:
    assert engine.step() == []


def test_a_step_ends_when_engine_core_is_killed(engine: Any) -> None:
    engine.add_request("a", [1], None)
    engine.engine_core.resources.engine_dead = True
    with pytest.raises(Exception, match="EngineCore") as raised:
        engine.step()
    assert raised.type.__name__ == "EngineDeadError"


def test_a_call_ends_when_engine_core_is_killed(engine: Any) -> None:
    engine.engine_core.resources.engine_dead = True
    with pytest.raises(Exception, match="EngineCore") as raised:
        engine.engine_core.call_utility("never answered")
    assert raised.type.__name__ == "EngineDeadError"


def test_a_call_returns_its_answer_or_raises_it(engine: Any) -> None:
    engine.engine_core.answers |= {"good": 5, "bad": ValueError("no")}
    assert engine.engine_core.call_utility("good") == 5
    with pytest.raises(ValueError, match="no"):
        engine.engine_core.call_utility("bad")


def test_a_step_ends_when_its_caller_has_left(engine: Any) -> None:
    engine.add_request("a", [1], None)
    thread = LLMThread()
    begun = threading.Event()

    def step() -> None:
        begun.set()
        engine.step()

    job = thread.submit(step)
    begun.wait()
    job.cancel()
    with pytest.raises(Cancelled, match="was given up"):
        job.result()
    thread.shutdown()


def test_no_request_is_added_when_the_caller_has_left(engine: Any) -> None:
    thread = LLMThread()
    job = thread.submit(lambda: (job.cancel(), engine.add_request("a", [1], None)))
    with pytest.raises(Cancelled):
        job.result()
    assert engine.engine_core.sent == []
    thread.shutdown()


def test_a_step_of_an_engine_that_sleeps_is_refused(engine: Any) -> None:
    engine.sleep(0, "keep")
    engine.engine_core.answers["is_scheduler_paused"] = True
    engine.add_request("a", [1], None)
    with pytest.raises(Conflict, match="call wake_up first") as raised:
        engine.step()
    assert raised.value.details["unfinished_requests"] == 1
    # What has come before the sleep is not lost.
    engine.engine_core.outputs_queue.put_nowait(outputs("a"))
    assert len(engine.step()) == 1


def test_an_engine_that_woke_up_is_not_asked_any_more(engine: Any) -> None:
    engine.sleep()
    engine.engine_core.answers["is_scheduler_paused"] = True
    assert engine.wake_up(["weights"]) is False
    assert engine._may_be_paused
    engine.engine_core.answers["is_scheduler_paused"] = False
    assert engine.wake_up() is True
    assert not engine._may_be_paused


def test_a_queue_puts_into_that_of_vllms_thread() -> None:
    import queue

    inner: queue.Queue[int] = queue.Queue()
    OutputsQueue(inner).put_nowait(1)
    assert inner.get_nowait() == 1
