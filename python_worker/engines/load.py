"""How much an engine has to do, for a client that chooses among several workers."""

from __future__ import annotations

from typing import Any, NamedTuple

from python_worker.engines import metrics

# What the wire's integers hold.
MAX_UINT32 = 2**32 - 1


class Load(NamedTuple):
    """The load of an engine at one moment.

    Attributes:
        running: Requests that do not wait.
        waiting: Requests in its queue.
        kv_cache_permille: The part of the KV cache that is in use, in thousandths.
    """

    running: int = 0
    waiting: int = 0
    kv_cache_permille: int = 0


def load_of(engine: Any) -> Load:
    """The load of an engine that counts its unfinished requests.

    What vLLM has counted is of the last step. An engine whose requests have all ended makes none,
    and requests that have come since are in no step yet.
    """
    unfinished = min(engine.get_num_unfinished_requests(), MAX_UINT32)
    counted = metrics.gauges_of(engine)
    if not unfinished or counted is None:
        return Load(running=unfinished)
    waiting = min(int(counted["requests_waiting"]), unfinished)
    permille = min(max(round(counted["kv_cache_usage"] * 1000), 0), 1000)
    return Load(unfinished - waiting, waiting, permille)
