"""Keeps the Prometheus series of each engine, which vLLM keeps of its newest engine only.

VLLM registers the series of an engine in the registry of the process, under names that are the
same for every engine. So each new engine removes those of the earlier ones first, and two engines
that are built at the same time can end each other's start with a duplicate. Here every engine is
given a class of vLLM's Prometheus logger that takes what it has registered out of the registry
again, into the engine's own ``Series``. What is counted, and how, stays vLLM's.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

# What an engine calls its series; see ``guards.stat_loggers``.
ATTRIBUTE = "_bridge_series"

# vLLM's module with the logger. Whoever builds one of vLLM's engines has imported it.
LOGGERS = "vllm.v1.metrics.loggers"

# Of the registry of the process, in which vLLM registers without asking.
_REGISTERING = threading.RLock()


class Series:
    """The series of one engine."""

    def __init__(self) -> None:
        self._collectors: list[Any] = []

    def collect(self) -> Iterator[Metric]:
        """The series as they are now."""
        for collector in list(self._collectors):
            yield from collector.collect()

    @contextmanager
    def taking_over(self) -> Iterator[None]:
        """Takes what is registered meanwhile out of the registry of the process."""
        registry = _registry()
        with _REGISTERING:
            before = set(registry._collector_to_names)
            try:
                yield
            finally:
                # Also after an error, which would leave names that the next engine needs.
                for collector in [it for it in registry._collector_to_names if it not in before]:
                    registry.unregister(collector)
                    self._collectors.append(collector)

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Has vLLM find the series of this engine, and no other's, in the registry."""
        registry = _registry()
        with _REGISTERING:
            registered: list[Any] = []
            try:
                for collector in self._collectors:
                    registry.register(collector)
                    registered.append(collector)
                yield
            finally:
                for collector in registered:
                    registry.unregister(collector)

    def logger_class(self) -> type | None:
        """VLLM's Prometheus logger for this engine; None where vLLM has none to subclass."""
        base = getattr(sys.modules.get(LOGGERS), "PrometheusStatLogger", None)
        if base is None:
            return None
        return type(base.__name__, (TakingOver, base), {"_series": self})


class TakingOver:
    """Mixed into vLLM's Prometheus logger: moves what it registers to the engine's series."""

    _series: Series

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with self._series.taking_over():
            super().__init__(*args, **kwargs)

    def log_engine_initialized(self) -> None:
        """As vLLM's, which registers what it says of the cache."""
        with self._series.taking_over():
            cast(Any, super()).log_engine_initialized()


def _registry() -> Any:
    from prometheus_client import REGISTRY

    return REGISTRY


def of_engine(engine: object) -> Series | None:
    """The series of an engine; None of one that counts nothing."""
    series = getattr(engine, ATTRIBUTE, None)
    return series if isinstance(series, Series) else None


def side_by_side(engines: Iterable[tuple[str, Series]]) -> list[Metric]:
    """The series of several engines as one family for each name, as Prometheus has it.

    Args:
        engines: Each with its reference, which becomes the label ``ref``: two engines may serve
            one model, and vLLM's label ``engine`` counts the data-parallel ranks of one engine.
    """
    from prometheus_client.metrics_core import Metric

    families: dict[str, Metric] = {}
    for ref, series in engines:
        for found in series.collect():
            family = families.get(found.name)
            if family is None:
                family = Metric(found.name, found.documentation, found.type, found.unit)
                families[found.name] = family
            family.samples += [
                sample._replace(labels={**sample.labels, "ref": ref}) for sample in found.samples
            ]
    return list(families.values())
