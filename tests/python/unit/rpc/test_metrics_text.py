"""The page of metrics: what it says of the worker and of each engine."""

from __future__ import annotations

import types
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.engines import prometheus_series
from python_worker.engines.prometheus_series import Series
from python_worker.rpc.metrics_text import Page, Snapshot, encoded

STATUS: dict[str, Any] = {
    "worker_version": "1.2.3",
    "vllm_version": None,
    "python_version": "3.11",
    "incarnation": "0" * 32,
    "uptime_s": 12.5,
    "calls": 3,
    "sessions": 2,
    "references": 4,
    "engines": [
        {
            "ref": "a",
            "type": "AsyncLLM",
            "errored": False,
            "unfinished_requests": 7,
            "stalled_s": 2.5,
            "token_path": "direct",
        },
        {
            "ref": "b",
            "type": "LLM",
            "errored": True,
            "unfinished_requests": None,
            "stalled_s": None,
            "token_path": "outputs",
        },
    ],
}


def series_of(running: float) -> Series:
    series = Series()
    gauge = Gauge("vllm:running", "Running.", ["model_name"], registry=CollectorRegistry())
    gauge.labels("model").set(running)
    series._collectors.append(gauge)
    return series


SNAPSHOT = Snapshot(STATUS, {"a": "model"}, [("a", series_of(1)), ("b", series_of(2))])


def values(body: bytes) -> dict[tuple[str, str | None], float]:
    return {
        (sample.name, sample.labels.get("ref")): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_the_worker_and_each_of_its_engines() -> None:
    body, content_type = encoded(SNAPSHOT, "text/plain")
    found = values(body)
    assert content_type.startswith("text/plain")
    assert found["vllm_bridge_calls", None] == 3
    assert found["vllm_bridge_uptime_seconds", None] == 12.5
    assert found["vllm_bridge_engines", None] == 2
    assert (found["vllm_bridge_engine_up", "a"], found["vllm_bridge_engine_up", "b"]) == (1, 0)
    assert found["vllm_bridge_engine_stalled_seconds", "a"] == 2.5
    assert found["vllm_bridge_engine_stalled_seconds", "b"] == 0
    assert found["vllm_bridge_engine_unfinished_requests", "a"] == 7
    assert ("vllm_bridge_engine_unfinished_requests", "b") not in found, "it cannot tell"
    direct = "vllm_bridge_engine_direct_token_path"
    assert (found[direct, "a"], found[direct, "b"]) == (1, 0)
    assert (found["vllm:running", "a"], found["vllm:running", "b"]) == (1, 2)
    assert found["process_resident_memory_bytes", None] > 0
    assert 'vllm_bridge_info{incarnation="00000000' in body.decode()
    assert 'model_name="model",ref="a",type="AsyncLLM"' in body.decode()


@pytest.mark.parametrize("accept", ["", "*/*", "application/openmetrics-text; version=1.0.0"])
def test_it_is_in_the_format_that_is_asked_for(accept: str) -> None:
    body, content_type = encoded(SNAPSHOT, accept)
    assert content_type.startswith("application/openmetrics-text") is ("openmetrics" in accept)
    assert body.endswith(b"# EOF\n") is ("openmetrics" in accept)
    # No name has two families, which Prometheus would refuse.
    heads = [line for line in body.splitlines() if line.startswith(b"# TYPE ")]
    assert len(heads) == len(set(heads))


def test_what_else_is_registered_is_there_but_no_name_twice() -> None:
    theirs = [Gauge(name, "Of a stat logger of the user's.") for name in ("own", "vllm:running")]
    try:
        body, _ = encoded(SNAPSHOT, "")
    finally:
        for gauge in theirs:
            REGISTRY.unregister(gauge)
    assert values(body)["own", None] == 0
    assert ("vllm:running", None) not in values(body)
    assert values(body)["vllm:running", "a"] == 1


async def test_a_snapshot_has_the_series_of_the_engines_that_count() -> None:
    references = References()
    counting = types.SimpleNamespace(model_config=types.SimpleNamespace(served_model_name="model"))
    setattr(counting, prometheus_series.ATTRIBUTE, series_of(5))
    served = ServedClass(name="AsyncLLM", shutdown="shutdown", stop=lambda it: None)
    first, second = (
        references.hold(it, "anyone", served=served, pin=True) for it in (counting, object())
    )

    class Worker:
        async def status(self) -> dict[str, Any]:
            return STATUS

    page: Any = Page(Worker(), references)  # type: ignore[arg-type]
    snapshot = await page.snapshot()
    assert snapshot.models == {first.id: "model"}
    assert [ref for ref, _ in snapshot.series] == [first.id]
    assert second.id not in snapshot.models
