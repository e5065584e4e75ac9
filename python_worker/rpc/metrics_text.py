"""What ``/metrics`` says: the worker's own state, and every engine's series side by side.

``vllm:*`` are vLLM's own metrics of each engine that counts, with the engine's reference as the
label ``ref``. ``vllm_bridge_*`` are what ``Worker.status`` returns; they are also there for an
engine that counts nothing, hangs or is dead. Beside them is what else the process has registered,
such as its memory and CPU time, and the metrics of a stat logger of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from prometheus_client import REGISTRY, CollectorRegistry, exposition
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from python_worker.dispatch.references import References
from python_worker.dispatch.worker_class import Worker
from python_worker.engines import metrics, prometheus_series
from python_worker.engines.prometheus_series import Series


class Gauge(NamedTuple):
    """One number of a status.

    Attributes:
        name: Of the metric, behind ``vllm_bridge_``.
        documentation: What it says.
        read: Gives it; None where there is none.
    """

    name: str
    documentation: str
    read: Callable[[Mapping[str, Any]], float | None]


OF_THE_WORKER = (
    Gauge("uptime_seconds", "For how long the worker has run.", lambda it: it["uptime_s"]),
    Gauge("calls", "Calls that are running.", lambda it: it["calls"]),
    Gauge("sessions", "Clients that hold a session.", lambda it: it["sessions"]),
    Gauge("references", "Objects that are held for clients.", lambda it: it["references"]),
    Gauge("engines", "Engines, dead ones included.", lambda it: len(it["engines"])),
)

OF_AN_ENGINE = (
    Gauge(
        "engine_up", "1 while the engine lives, 0 when it is dead.", lambda it: not it["errored"]
    ),
    Gauge(
        "engine_stalled_seconds",
        "For how long the engine's requests have got nothing; 0 while it does not hang.",
        lambda it: it["stalled_s"] or 0,
    ),
    Gauge(
        "engine_unfinished_requests",
        "Requests that the engine has.",
        lambda it: it["unfinished_requests"],
    ),
    Gauge(
        "engine_direct_token_path",
        "1 if tokens are taken from vLLM's request states, 0 if every output is encoded.",
        lambda it: it["token_path"] == "direct",
    ),
)

ENGINE_LABELS = ("ref", "type", "model_name")

INFO_LABELS = ("worker_version", "vllm_version", "python_version", "incarnation")


@dataclass(frozen=True)
class Snapshot:
    """What a page is made of, taken in one turn of the loop.

    Attributes:
        status: As ``Worker.status`` has returned it.
        models: The names of the engines' models, by reference.
        series: The series of the engines that count, by reference.
    """

    status: Mapping[str, Any]
    models: Mapping[str, str]
    series: Sequence[tuple[str, Series]]


class Families(Collector):
    """What a snapshot says, and what is registered for the process."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """The families, each name once, as Prometheus wants it."""
        names: set[str] = set()
        for family in self._all():
            if family.name not in names:
                names.add(family.name)
                yield family

    def _all(self) -> Iterator[Metric]:
        yield from of_the_worker(self._snapshot.status)
        yield from of_the_engines(self._snapshot.status, self._snapshot.models)
        yield from prometheus_series.side_by_side(self._snapshot.series)
        yield from REGISTRY.collect()


class Page:
    """Makes the page.

    Args:
        worker: Asked for its status.
        references: Where the engines are.
    """

    def __init__(self, worker: Worker, references: References) -> None:
        self._worker = worker
        self._references = references

    async def snapshot(self) -> Snapshot:
        """The state of the worker now."""
        entries = list(self._references.pinned())
        names = {it.id: metrics.model_name(it.target) for it in entries}
        series = [(it.id, prometheus_series.of_engine(it.target)) for it in entries]
        return Snapshot(
            status=await self._worker.status(),
            models={ref: name for ref, name in names.items() if name is not None},
            series=[(ref, it) for ref, it in series if it is not None],
        )


def encoded(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """The page and its content type; with hundreds of series this takes some milliseconds.

    Args:
        snapshot: What it says.
        accept: The header ``Accept`` of the request.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(snapshot))
    encode, content_type = exposition.choose_encoder(accept)
    return encode(registry), content_type


def of_the_worker(status: Mapping[str, Any]) -> Iterator[Metric]:
    """The families of the worker."""
    info = GaugeMetricFamily("vllm_bridge_info", "Versions; always 1.", labels=INFO_LABELS)
    info.add_metric([str(status[it] or "") for it in INFO_LABELS], 1)
    yield info
    for gauge in OF_THE_WORKER:
        value = gauge.read(status)
        yield GaugeMetricFamily(f"vllm_bridge_{gauge.name}", gauge.documentation, value=value)


def of_the_engines(status: Mapping[str, Any], models: Mapping[str, str]) -> Iterator[Metric]:
    """The families of the engines."""
    for gauge in OF_AN_ENGINE:
        family = GaugeMetricFamily(
            f"vllm_bridge_{gauge.name}", gauge.documentation, labels=ENGINE_LABELS
        )
        for engine in status["engines"]:
            if (value := gauge.read(engine)) is not None:
                ref = engine["ref"]
                family.add_metric([ref, engine["type"], models.get(ref, "")], value)
        yield family
