"""Every engine keeps its Prometheus series, however many are built after it or beside it."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from python_worker.engines import prometheus_series
from python_worker.engines.prometheus_series import LOGGERS, Series, side_by_side


class VllmLogger:
    """As vLLM's ``PrometheusStatLogger``: one set of names for every engine of the process."""

    #: Called between the removal of the earlier series and the registration of these.
    between: Any = staticmethod(lambda: None)

    def __init__(self, model: str) -> None:
        for collector in list(REGISTRY._collector_to_names):
            if getattr(collector, "_name", "").startswith("vllm:"):
                REGISTRY.unregister(collector)
        self.between()
        labels = ("model_name", "engine")
        self.running = Gauge("vllm:running", "Running.", labels).labels(model, "0")
        self.tokens = Counter("vllm:tokens", "Tokens.", labels).labels(model, "0")
        self.latency = Histogram("vllm:latency", "Latency.", labels, buckets=(1.0,)).labels(
            model, "0"
        )

    def log_engine_initialized(self) -> None:
        Gauge("vllm:cache", "The cache.")


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has the module that vLLM's engine class has imported; the registry ends as it was."""
    before = set(REGISTRY._collector_to_names)
    module = types.SimpleNamespace(PrometheusStatLogger=VllmLogger)
    monkeypatch.setitem(sys.modules, LOGGERS, module)
    yield
    assert set(REGISTRY._collector_to_names) == before


def logger_of(series: Series) -> Any:
    made = series.logger_class()
    assert made is not None
    assert issubclass(made, VllmLogger), "vLLM tells its own loggers by that"
    return made


def samples(*engines: tuple[str, Series]) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["ref"]): sample.value
        for family in side_by_side(engines)
        for sample in family.samples
    }


def test_two_engines_of_one_model_are_side_by_side() -> None:
    first, second = Series(), Series()
    one, other = logger_of(first)("model"), logger_of(second)("model")
    one.running.set(3)
    other.tokens.inc(5)
    for logger in (one, other):
        logger.log_engine_initialized()
    found = samples(("a", first), ("b", second))
    assert (found["vllm:running", "a"], found["vllm:running", "b"]) == (3, 0)
    assert (found["vllm:tokens_total", "a"], found["vllm:tokens_total", "b"]) == (0, 5)
    assert {("vllm:cache", "a"), ("vllm:cache", "b")} <= found.keys()
    families = side_by_side([("a", first), ("b", second)])
    assert len({family.name for family in families}) == len(families), "a name is a family"
    labels = {"model_name", "engine", "ref"}
    assert families[0].samples[0].labels.keys() == labels


def test_engines_that_are_built_at_the_same_time_do_not_end_each_other() -> None:
    series = [Series() for _ in range(8)]
    together = threading.Barrier(len(series))
    failed: list[BaseException] = []

    def build(one: Series) -> None:
        together.wait()
        try:
            logger_of(one)("model").log_engine_initialized()
        except ValueError as error:
            failed.append(error)

    threads = [threading.Thread(target=build, args=(it,)) for it in series]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(samples(*((str(at), it) for at, it in enumerate(series)))) == 8 * len(
        samples(("0", series[0]))
    )


def test_an_engine_whose_logger_fails_leaves_no_name_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: Any) -> None:
        Gauge("vllm:half", "Of an engine that fails.")
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(VllmLogger, "between", fail)
        with pytest.raises(RuntimeError, match="no"):
            logger_of(Series())("model")
    logger_of(Series())("model")


def test_what_vllm_reads_of_the_registry_is_one_engines() -> None:
    first, second = Series(), Series()
    logger_of(first)("model").running.set(1)
    logger_of(second)("model").running.set(2)
    for series, value in ((first, 1), (second, 2)):
        with series.registered():
            labels = {"model_name": "model", "engine": "0"}
            assert REGISTRY.get_sample_value("vllm:running", labels) == value


def test_a_vllm_without_such_a_logger_has_no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, LOGGERS)
    assert Series().logger_class() is None
    assert prometheus_series.of_engine(object()) is None
    assert side_by_side([]) == []
