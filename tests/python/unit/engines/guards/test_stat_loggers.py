"""Every engine has two stat loggers more, unless it is told to log no statistics."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from python_worker.engines import prometheus_series
from python_worker.engines.guards.guarded import compose
from python_worker.engines.guards.stat_loggers import StatLoggerGuard
from python_worker.engines.metrics import of_engine
from python_worker.engines.prometheus_series import LOGGERS


def guarded(base: type) -> Any:
    return compose(base, (StatLoggerGuard,))


class Engine:
    """An engine as far as its constructor goes."""

    def __init__(
        self,
        vllm_config: Any,
        executor_class: Any,
        log_stats: bool,
        stat_loggers: list[Any] | None = None,
    ) -> None:
        self.given: Any = stat_loggers


def test_every_engine_has_counters_of_its_own_beside_its_other_loggers() -> None:
    counted = guarded(Engine)
    first = counted(None, None, True, ["theirs"])
    second = counted(None, None, log_stats=True)
    assert first.given[0] == "theirs"
    for engine, factory in ((first, first.given[1]), (second, second.given[0])):
        factory(None, 0).counters["generation_tokens"] += engine is first
    values = [of_engine(first), of_engine(second)]
    assert [it and it["generation_tokens"] for it in values] == [1, 0]


def test_every_engine_keeps_its_prometheus_series(monkeypatch: pytest.MonkeyPatch) -> None:
    class Logger:
        pass

    module = types.SimpleNamespace(PrometheusStatLogger=Logger)
    monkeypatch.setitem(sys.modules, LOGGERS, module)
    first, second = (guarded(Engine)(None, None, True) for _ in range(2))
    series = [prometheus_series.of_engine(it) for it in (first, second)]
    assert None not in series
    assert series[0] is not series[1]
    assert [issubclass(it.given[-1], Logger) for it in (first, second)] == [True, True]
    assert prometheus_series.of_engine(guarded(Engine)(None, None, False)) is None


def test_an_engine_that_is_told_to_count_nothing_is_left_alone() -> None:
    engine = guarded(Engine)(None, None, False)
    assert engine.given is None
    assert of_engine(engine) is None
    assert of_engine(object()) is None


@pytest.mark.parametrize(("default", "counts"), [(True, True), (False, False)])
def test_a_class_may_give_log_stats_a_default(default: bool, counts: bool) -> None:
    class Own(Engine):
        def __init__(
            self, log_stats: bool = default, stat_loggers: list[Any] | None = None, **more: Any
        ) -> None:
            super().__init__(None, None, log_stats, stat_loggers)
            self.more = more

    engine = guarded(Own)(other=1)
    assert engine.more == {"other": 1}
    assert len(engine.given or ()) == counts


def test_a_class_that_takes_its_arguments_some_other_way_is_left_alone() -> None:
    class Own(Engine):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    engine = guarded(Own)(None, None, log_stats=True)
    assert engine.given is None
    assert of_engine(engine) is None
