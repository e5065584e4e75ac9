"""The load of an engine: what it counts itself, and what vLLM has counted of its last step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.load import MAX_UINT32, Load, load_of
from python_worker.engines.metrics import ATTRIBUTE, Metrics


def engine(unfinished: int, **stats: Any) -> Any:
    """An engine with so many requests, and the statistics of one step."""
    engine = SimpleNamespace(get_num_unfinished_requests=lambda: unfinished)
    if stats:
        metrics = Metrics()
        rank = metrics(None)
        rank.gauges.update(stats)
        setattr(engine, ATTRIBUTE, metrics)
    return engine


@pytest.mark.parametrize(
    ("it", "load"),
    [
        (engine(0), Load()),
        (engine(3), Load(running=3)),
        (engine(5, requests_waiting=2, kv_cache_usage=0.25), Load(3, 2, 250)),
        # All have ended, and no step has come since.
        (engine(0, requests_waiting=2, kv_cache_usage=0.25), Load()),
        # Some that waited have ended since.
        (engine(1, requests_waiting=4, kv_cache_usage=0.5), Load(0, 1, 500)),
        (engine(1, requests_waiting=0, kv_cache_usage=1.5), Load(1, 0, 1000)),
        (engine(2**40), Load(running=MAX_UINT32)),
    ],
)
def test_the_load_of_an_engine(it: Any, load: Load) -> None:
    assert load_of(it) == load


def test_an_engine_of_which_a_rank_is_lost_tells_its_requests_only() -> None:
    it = engine(4, requests_waiting=2, kv_cache_usage=0.5)
    getattr(it, ATTRIBUTE)._ranks[0].lost = True
    assert load_of(it) == Load(running=4)
