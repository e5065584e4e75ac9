"""The waits of an LLMEngine end: by an output, a stop, a sleep, or the death of EngineCore."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from python_worker.engines.guards import vllm_parts
from python_worker.engines.guards.core_requests import LONG
from python_worker.engines.guards.logprobs_work import MANY
from python_worker.engines.guards.tensors import OFF_LOOP_BYTES
from python_worker.exceptions import Cancelled, Conflict, InvalidArgument, NoTokenLeft
from python_worker.offline.engine_guard import OutputsQueue
from python_worker.offline.llm_thread import LLMThread
from tests.python.support.offline_classes import outputs
from tests.python.support.sampling import sampling


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


# --- What AsyncLLM does off its loop is done here at once


def structure(backend: str) -> Any:
    return SimpleNamespace(
        _backend=backend,
        **dict.fromkeys(("json", "choice", "grammar", "json_object", "structural_tag")),
        regex="a",
    )


def test_a_large_request_is_checked_in_the_thread_of_its_call(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    threads: list[threading.Thread] = []
    monkeypatch.setattr(
        vllm_parts,
        "request_verifier",
        lambda: lambda _: lambda: threads.append(threading.current_thread()),
    )
    engine = request.getfixturevalue("engine")
    engine.add_request("a", [1], None)
    assert threads == [threading.current_thread()]
    assert [it.request_id for it in engine.engine_core.sent] == ["a"]


def test_long_constraints_that_leave_no_token_are_refused(engine: Any) -> None:
    engine.add_request("a", [1], sampling(allowed_token_ids=[5] * LONG))
    bias = dict.fromkeys(range(100), -math.inf)
    with pytest.raises(InvalidArgument, match="no token is left to choose"):
        engine.add_request("b", [1], sampling(allowed_token_ids=[5] * LONG, logit_bias=bias))
    assert [it.request_id for it in engine.engine_core.sent] == ["a"]
    assert engine.output_processor.aborted == ["b"]


def test_a_large_tensor_with_a_number_that_is_none_is_refused(engine: Any) -> None:
    engine.model_config.get_inputs_embeds_size = lambda: 1
    engine.model_config.enable_prompt_embeds = True
    embeds = np.zeros((OFF_LOOP_BYTES // 4, 1), np.float32)
    embeds[-1] = math.nan
    with pytest.raises(InvalidArgument, match="wants a finite number, got nan"):
        engine.add_request("a", {"type": "embeds", "prompt_embeds": Tensor(embeds)}, None)
    assert engine.engine_core.sent == []


class Tensor(np.ndarray[Any, Any]):
    """A tensor of torch's, as far as it is looked at."""

    def __new__(cls, numbers: Any) -> Any:
        return numbers.view(cls)

    def is_floating_point(self) -> bool:
        return True


def test_a_structure_that_the_first_ones_back_end_does_not_know_is_refused(engine: Any) -> None:
    engine.vllm_config.structured_outputs_config.backend = "auto"
    engine.add_request("a", [1], sampling(structured_outputs=structure("outlines")))
    with pytest.raises(InvalidArgument, match="compiles all structures with outlines"):
        engine.add_request("b", [1], sampling(structured_outputs=structure("xgrammar")))
    assert [it.request_id for it in engine.engine_core.sent] == ["a"]


def test_many_logprobs_are_in_the_output_of_their_own_step(engine: Any) -> None:
    engine.add_request("a", [1], None)
    many = SimpleNamespace(logprobs=np.zeros((1, MANY)))
    engine.engine_core.outputs_queue.put_nowait(
        outputs("a", new_token_ids=[1], new_logprobs=many, new_prompt_logprobs_tensors=None)
    )
    assert [it.new_logprobs for it in engine.step()] == [many]


def test_a_request_that_has_no_token_left_ends_its_step(engine: Any) -> None:
    for name in ("a", "b"):
        engine.add_request(name, [1], sampling(allowed_token_ids=[4], words=[[4, 4]]))
    engine.engine_core.outputs_queue.put_nowait(outputs("a", "b", new_token_ids=[4, 0]))
    with pytest.raises(NoTokenLeft, match="no token"):
        engine.step()
    assert engine.aborted == ["a", "b"]
    # The next batch has nothing to do with it.
    engine.add_request("c", [1], None)
    engine.engine_core.outputs_queue.put_nowait(outputs("c"))
    assert len(engine.step()) == 1
