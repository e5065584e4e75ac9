"""What is counted of an engine, and that counting never ends one."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines import metrics
from python_worker.engines.metrics import NAMES, Metrics


def scheduled(**fields: Any) -> Any:
    given: dict[str, Any] = {
        "num_running_reqs": 0,
        "num_waiting_reqs": 0,
        "num_skipped_waiting_reqs": 0,
        "kv_cache_usage": 0.0,
        "prefix_cache_stats": SimpleNamespace(queries=0, hits=0),
        "spec_decoding_stats": None,
    }
    return SimpleNamespace(**given | fields)


def put_out(**fields: Any) -> Any:
    given: dict[str, Any] = {
        "num_prompt_tokens": 0,
        "prompt_token_stats": SimpleNamespace(cached_tokens=0),
        "num_generation_tokens": 0,
        "num_preempted_reqs": 0,
        "time_to_first_tokens_iter": [],
        "inter_token_latencies_iter": [],
        "finished_requests": [],
    }
    return SimpleNamespace(**given | fields)


def read(counted: Metrics) -> dict[str, float]:
    values = counted.read()
    assert values is not None
    assert list(values) == list(NAMES)
    return values


def test_an_engine_that_has_done_nothing_has_counted_zero() -> None:
    counted = Metrics()
    counted(None, 0)
    assert set(read(counted).values()) == {0}


def test_gauges_are_the_last_and_counters_the_sum() -> None:
    counted = Metrics()
    rank = counted(None, 0)
    prefix = SimpleNamespace(queries=10, hits=8)
    for running, usage in ((3, 0.5), (2, 0.25)):
        rank.record(
            scheduled(
                num_running_reqs=running,
                num_waiting_reqs=1,
                num_skipped_waiting_reqs=4,
                kv_cache_usage=usage,
                prefix_cache_stats=prefix,
                spec_decoding_stats=SimpleNamespace(num_draft_tokens=5, num_accepted_tokens=3),
            ),
            put_out(num_generation_tokens=7, time_to_first_tokens_iter=[0.5, 0.25]),
        )
    values = read(counted)
    assert (values["requests_running"], values["requests_waiting"]) == (2, 5)
    assert values["kv_cache_usage"] == 0.25
    assert (values["prefix_cache_queries"], values["prefix_cache_hits"]) == (20, 16)
    assert (values["draft_tokens"], values["draft_tokens_accepted"]) == (10, 6)
    assert values["generation_tokens"] == 14
    assert (values["first_tokens"], values["time_to_first_token_s"]) == (4, 1.5)


def test_a_step_may_have_only_one_of_the_two() -> None:
    counted = Metrics()
    rank = counted(None, 0)
    finished = SimpleNamespace(queued_time=0.5, e2e_latency=2.0)
    rank.record(None, put_out(finished_requests=[finished, finished]))
    rank.record(scheduled(num_running_reqs=1), None)
    values = read(counted)
    assert values["requests_running"] == 1
    assert (values["requests_finished"], values["queue_time_s"]) == (2, 1.0)
    assert values["request_time_s"] == 4.0


def test_ranks_are_added_up_and_their_cache_is_their_mean() -> None:
    counted = Metrics()
    for index, usage in enumerate((0.5, 1.0)):
        step = scheduled(num_running_reqs=2, kv_cache_usage=usage)
        counted(None, index).record(step, put_out(num_prompt_tokens=3))
    values = read(counted)
    assert (values["requests_running"], values["kv_cache_usage"]) == (4, 0.75)
    assert values["prompt_tokens"] == 6


def test_statistics_of_another_vllm_end_the_counting_and_not_the_engine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = Metrics()
    rank = counted(None, 0)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            rank.record(SimpleNamespace(), SimpleNamespace())
    assert counted.read() is None
    assert len(caplog.records) == 1


SCHEDULED = scheduled()
PUT_OUT = put_out()


@pytest.mark.parametrize("name", [*vars(SCHEDULED), *vars(PUT_OUT)])
def test_a_statistic_that_becomes_none_is_nothing_or_ends_the_counting(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is read is numbers or nothing at all: a None among them would fail whoever adds them."""
    counted = Metrics()
    rank = counted(None, 0)
    rank.record(scheduled(num_running_reqs=1), put_out(num_generation_tokens=7))
    none = {name: None}
    with caplog.at_level(logging.ERROR):
        rank.record(
            scheduled(**none) if hasattr(SCHEDULED, name) else scheduled(),
            put_out(**none) if hasattr(PUT_OUT, name) else put_out(),
        )
    assert len(caplog.records) == (1 if rank.lost else 0)
    if rank.lost:
        assert counted.read() is None
    else:
        assert read(counted)["generation_tokens"] == 7
        assert name not in ("num_running_reqs", "kv_cache_usage")


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (SimpleNamespace(served_model_name="llama", model="/path"), "llama"),
        (SimpleNamespace(model="/path"), "/path"),
        (SimpleNamespace(served_model_name=object()), None),
        (None, None),
    ],
)
def test_the_model_is_named_as_it_is_served(config: Any, name: str | None) -> None:
    assert metrics.model_name(SimpleNamespace(model_config=config)) == name
