"""A batch ends whole, and the LLM can be used afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.preprocessing import MAX_TRUNCATED_CHARS
from python_worker.exceptions import Cancelled, InvalidArgument, LimitExceeded, Unsupported
from python_worker.offline import vllm_parts
from python_worker.offline.llm_guard import check_messages, text_lengths
from python_worker.offline.llm_thread import LLMThread
from python_worker.streaming.progress import PROGRESS, Progress
from tests.python.support.offline_classes import LLMStandIn, outputs

BEAMS = SimpleNamespace(max_tokens=3)


def put(llm: Any, *items: Any) -> None:
    for item in items:
        llm.llm_engine.engine_core.outputs_queue.put_nowait(item)


def tell_steps(llm: Any, stepped: threading.Event) -> None:
    """Sets an event when a step begins."""
    step = llm.llm_engine.step

    def telling() -> Any:
        stepped.set()
        return step()

    llm.llm_engine.step = telling


def test_a_batch_returns_its_outputs(llm: Any) -> None:
    put(llm, outputs("b"), outputs("a"))
    assert [it.request_id for it in llm.generate(["a", "b"])] == ["b", "a"]
    assert llm.llm_engine.aborted == []


def test_a_batch_that_is_refused_leaves_nothing_of_itself(llm: Any) -> None:
    llm.enqueue(["before"])
    llm.llm_engine.engine_core.add_request = lambda request: 1 / 0
    with pytest.raises(ZeroDivisionError):
        llm.generate(["a"])
    # Nothing has run, so what was enqueued before stays.
    assert llm.llm_engine.aborted == ["a"]
    assert llm.get_num_unfinished_requests() == 1


def test_a_batch_that_fails_while_it_runs_leaves_nothing_at_all(llm: Any) -> None:
    llm.enqueue(["before"])
    put(llm, outputs("a"), ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        llm.generate(["a", "b"])
    assert sorted(llm.llm_engine.aborted) == ["b", "before"]
    assert llm.get_num_unfinished_requests() == 0


def test_a_batch_whose_caller_leaves_is_aborted(llm: Any) -> None:
    thread = LLMThread()
    stepped = threading.Event()
    tell_steps(llm, stepped)
    job = thread.submit(llm.generate, ["a", "b"])
    stepped.wait()
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert llm.llm_engine.aborted == ["a", "b"]
    put(llm, outputs("c"))
    assert len(thread.submit(llm.generate, ["c"]).result()) == 1
    thread.shutdown()


def test_what_was_enqueued_is_aborted_with_the_batch_of_a_caller_who_leaves(llm: Any) -> None:
    llm.enqueue(["before"])
    thread, stepped = LLMThread(), threading.Event()
    tell_steps(llm, stepped)
    job = thread.submit(llm.wait_for_completion)
    stepped.wait()
    job.cancel()
    with pytest.raises(Cancelled):
        job.result()
    assert llm.llm_engine.aborted == ["before"]
    thread.shutdown()


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ("Hello", "messages"),
        ([{"content": "a"}], "messages[0]"),
        ([{"role": "user"}, 5], "messages[1]"),
        ([[{"role": "user"}], [{"role": 1}]], "messages[1][0]"),
        ([[{"role": "user"}], {"role": "user"}], "messages[1]"),
    ],
)
def test_a_wrong_message_is_named(messages: Any, path: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        check_messages(messages)
    assert raised.value.details["parameter"] == path


@pytest.mark.parametrize("messages", [[], [{"role": "user"}], [[{"role": "user"}], []]])
def test_conversations_are_one_or_several(messages: Any) -> None:
    check_messages(messages)


def test_padding_beyond_the_context_is_refused(llm: Any) -> None:
    with pytest.raises(InvalidArgument, match="pad_prompt_tokens"):
        llm.generate(["a"], tokenization_kwargs={"pad_prompt_tokens": 101})


def test_a_bar_is_made_only_where_somebody_is_told(llm: Any) -> None:
    llm.generate([])
    assert llm.seen is False
    llm.beam_search([], BEAMS, use_tqdm=True)
    assert llm.seen is False


@pytest.mark.parametrize(
    ("prompts", "limit", "steps"),
    [(["a", "b", "c"], None, 3), (["a", "b", "c"], 2, 3), (["ends"], None, 1)],
)
def test_a_beam_search_tells_of_its_steps(
    llm: Any, prompts: list[str], limit: int | None, steps: int
) -> None:
    told: list[Progress] = []
    token = PROGRESS.set(told.append)
    try:
        llm.beam_search(prompts, BEAMS, use_tqdm=True, concurrency_limit=limit)
        # A bar is not drawn at each step, but at last.
        assert told[-1].done == steps
        assert {(it.description, it.total) for it in told} == {("Beam search", 6 if limit else 3)}
        told.clear()
        llm.beam_search(prompts, BEAMS)
        with pytest.raises(ValueError, match="a step fails"):
            llm.beam_search(["fails"], BEAMS, use_tqdm=False)
    finally:
        PROGRESS.reset(token)
    assert told == []


def test_one_object_for_many_prompts_is_copied_by_vllm(llm: Any) -> None:
    params = SimpleNamespace(skip_clone=True)
    assert llm._params_to_seq(params, 2) == [params, params]
    assert params.skip_clone is False


def test_a_function_reaches_the_model_only_where_the_operator_allows_it(
    llm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unsupported, match="VLLM_ALLOW_INSECURE_SERIALIZATION=1"):
        llm.apply_model(len)
    monkeypatch.setattr(vllm_parts, "insecure_serialization", lambda: True)
    llm.llm_engine.engine_core.answers["collective_rpc"] = 7
    assert llm.apply_model(len) == [7]


def test_metrics_need_statistics(llm: Any) -> None:
    with pytest.raises(Unsupported, match="disable_log_stats: false"):
        llm.get_metrics()
    llm.llm_engine.log_stats = True
    assert llm.get_metrics() == ["metrics"]


def test_metrics_are_those_of_this_llm(llm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    @contextmanager
    def registered() -> Iterator[None]:
        events.append("registered")
        yield
        events.append("taken out")

    series: Any = SimpleNamespace(registered=registered)
    monkeypatch.setattr(LLMStandIn, "get_metrics", lambda it: list(events))
    llm.llm_engine.log_stats = True
    llm._guards._bridge_series = series
    assert llm.get_metrics() == ["registered"]
    assert events == ["registered", "taken out"]


@pytest.mark.parametrize(
    ("method", "key"),
    [("init_weight_transfer_engine", "init_info"), ("update_weights", "update_info")],
)
def test_a_map_without_its_key_is_refused(llm: Any, method: str, key: str) -> None:
    with pytest.raises(InvalidArgument, match=key):
        getattr(llm, method)({})
    llm.llm_engine.engine_core.answers["collective_rpc"] = None
    getattr(llm, method)({key: {}})


async def test_a_shutdown_ends_the_running_batch_and_the_thread(llm: Any) -> None:
    llm._thread = LLMThread()
    stepped = threading.Event()
    tell_steps(llm, stepped)
    job = llm._thread.submit(llm.generate, ["a"])
    stepped.wait()
    await llm.shutdown()
    with pytest.raises(Cancelled):
        job.result()
    assert llm.errored
    assert "shut down" in str(llm.dead_error)
    with pytest.raises(RuntimeError, match="takes no more calls"):
        llm._thread.submit(llm.generate, ["a"])
    await llm.shutdown()  # Twice is harmless.


def test_what_the_worker_asks(llm: Any) -> None:
    assert (llm.errored, llm._outputs_handled, llm._awaits_outputs()) == (False, 0, False)
    assert llm._bridge_metrics is not None


@pytest.mark.parametrize(
    ("given", "lengths"),
    [
        ({"prompts": "abc"}, [3]),
        ({"prompts": ["a", {"prompt": "bc"}, [1, 2]]}, [1, 2, 0]),
        ({"prompts": [1, 2]}, [0, 0]),
        ({"messages": [{"role": "u", "content": [{"type": "t", "text": "abc"}]}]}, [5]),
        ({"messages": [[{"content": "a"}], [{"content": "bc"}]]}, [1, 2]),
        ({"messages": []}, []),
        ({"data_1": "ab", "data_2": ["c", "def"]}, [2, 1, 3]),
    ],
)
def test_the_length_of_each_text_is_known(given: dict[str, Any], lengths: list[int]) -> None:
    assert list(text_lengths(given)) == lengths


def test_a_long_text_that_is_to_be_truncated_is_refused(llm: Any) -> None:
    text = "a" * (MAX_TRUNCATED_CHARS + 1)
    with pytest.raises(LimitExceeded, match="to be truncated"):
        llm.generate([text], tokenization_kwargs={"truncation": True})
    assert llm.get_num_unfinished_requests() == 0
