"""What vLLM counts of each engine, for clients that ask now and then.

Every engine is given a stat logger of ours, beside those it would have: vLLM
tells it after each step what has happened in it, and it adds up. What vLLM
counts for Prometheus, which is much more, is in ``prometheus_series``.

An engine that was built with ``disable_log_stats`` counts nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

# What an engine calls its counters; see ``guards.stat_loggers``.
ATTRIBUTE = "_bridge_metrics"


def _waiting(stats: Any) -> int:
    # Those that wait for a place, and those that could not have one they wait for.
    return int(stats.num_waiting_reqs + stats.num_skipped_waiting_reqs)


# What is true after the last step.
GAUGES: Mapping[str, Callable[[Any], float]] = {
    "requests_running": lambda stats: stats.num_running_reqs,
    "requests_waiting": _waiting,
    "kv_cache_usage": lambda stats: stats.kv_cache_usage,
}

# Added up over the scheduler's part of all steps, ...
SCHEDULED: Mapping[str, Callable[[Any], float]] = {
    "prefix_cache_queries": lambda stats: stats.prefix_cache_stats.queries,
    "prefix_cache_hits": lambda stats: stats.prefix_cache_stats.hits,
    "draft_tokens": lambda stats: _of(stats.spec_decoding_stats, "num_draft_tokens"),
    "draft_tokens_accepted": lambda stats: _of(stats.spec_decoding_stats, "num_accepted_tokens"),
}

# ... and over what they put out. Times are in seconds; with each sum of times
# goes how many there were.
PUT_OUT: Mapping[str, Callable[[Any], float]] = {
    "prompt_tokens": lambda stats: stats.num_prompt_tokens,
    "prompt_tokens_cached": lambda stats: stats.prompt_token_stats.cached_tokens,
    "generation_tokens": lambda stats: stats.num_generation_tokens,
    "preemptions": lambda stats: stats.num_preempted_reqs,
    "first_tokens": lambda stats: len(stats.time_to_first_tokens_iter),
    "time_to_first_token_s": lambda stats: sum(stats.time_to_first_tokens_iter),
    "later_tokens": lambda stats: len(stats.inter_token_latencies_iter),
    "inter_token_latency_s": lambda stats: sum(stats.inter_token_latencies_iter),
    "requests_finished": lambda stats: len(stats.finished_requests),
    "queue_time_s": lambda stats: sum(it.queued_time for it in stats.finished_requests),
    "request_time_s": lambda stats: sum(it.e2e_latency for it in stats.finished_requests),
}

COUNTERS = (*SCHEDULED, *PUT_OUT)
NAMES = (*GAUGES, *COUNTERS)


def _of(stats: Any, name: str) -> int:
    return 0 if stats is None else getattr(stats, name)


class Rank:
    """Counts what one EngineCore does: an engine has one for each data-parallel rank.

    It has the methods of vLLM's ``StatLoggerBase``. Its classes of statistics
    are not stable between versions, and what a stat logger raises ends the
    engine: a rank that does not understand them counts no more.
    """

    def __init__(self) -> None:
        self.gauges = dict.fromkeys(GAUGES, 0.0)
        self.counters = dict.fromkeys(COUNTERS, 0.0)
        self.lost = False

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """Take in what one step has done."""
        if self.lost:
            return
        try:
            if scheduler_stats is not None:
                for name, read in GAUGES.items():
                    self.gauges[name] = float(read(scheduler_stats))
                self._add(SCHEDULED, scheduler_stats)
            if iteration_stats is not None:
                self._add(PUT_OUT, iteration_stats)
        except Exception:
            self.lost = True
            logger.exception("vLLM's statistics cannot be read: no metrics of this engine")

    def _add(self, table: Mapping[str, Callable[[Any], float]], stats: Any) -> None:
        for name, read in table.items():
            if value := read(stats):
                self.counters[name] += value

    def log(self) -> None:
        """Nothing: they are asked for."""

    def log_engine_initialized(self) -> None:
        """Nothing."""

    def record_sleep_state(self, sleep: int = 0, level: int = 0) -> None:
        """Nothing: ``is_sleeping`` says it."""


class Metrics:
    """The counters of one engine; calling it makes the stat logger of a rank."""

    def __init__(self) -> None:
        self._ranks: list[Rank] = []

    def __call__(self, _vllm_config: Any, _engine_index: int = 0) -> Rank:
        """What vLLM calls a stat logger factory."""
        rank = Rank()
        self._ranks.append(rank)
        return rank

    def gauges(self) -> dict[str, float] | None:
        """What is true after the last step, or None where nothing is counted."""
        if not self._ranks or any(rank.lost for rank in self._ranks):
            return None
        totals = {name: sum(it.gauges[name] for it in self._ranks) for name in GAUGES}
        totals["kv_cache_usage"] /= len(self._ranks)
        return totals

    def read(self) -> dict[str, float] | None:
        """The numbers now, or None where nothing is counted."""
        totals = self.gauges()
        if totals is None:
            return None
        totals |= {name: sum(it.counters[name] for it in self._ranks) for name in COUNTERS}
        return {
            name: value if name.endswith(("_s", "_usage")) else int(value)
            for name, value in totals.items()
        }


def of_engine(engine: object) -> dict[str, float] | None:
    """What is counted of an engine, or None."""
    metrics = getattr(engine, ATTRIBUTE, None)
    return metrics.read() if isinstance(metrics, Metrics) else None


def gauges_of(engine: object) -> dict[str, float] | None:
    """What is true of an engine after its last step, or None."""
    metrics = getattr(engine, ATTRIBUTE, None)
    return metrics.gauges() if isinstance(metrics, Metrics) else None


def model_name(engine: object) -> str | None:
    """The name that the engine's model is served under."""
    config = getattr(engine, "model_config", None)
    name = getattr(config, "served_model_name", None)
    name = getattr(config, "model", None) if name is None else name
    return name if isinstance(name, str) else None
