"""Each core of an engine has requests and outputs of its own."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

from python_worker.engines.guards.core_progress import awaits_output, cores_of
from python_worker.engines.guards.weights import Weights

FIRST, SECOND = b"\0\0", b"\1\0"

#: A request, one whose next part is to be computed, and one that waits for its client.
PLAIN = SimpleNamespace(streaming_input=False, input_chunk_queue=None)
BUSY = SimpleNamespace(streaming_input=True, input_chunk_queue=[])
WAITING = SimpleNamespace(streaming_input=True, input_chunk_queue=None)


class Core:
    """As much of vLLM's client as is looked at."""

    def __init__(self) -> None:
        self.core_engines = [FIRST, SECOND]
        self.reqs_in_flight: dict[str, bytes] = {}

    async def _call_utility_async(self, method: str, *, engine: bytes) -> Any:
        return (method, engine) == ("is_sleeping", SECOND)


def test_a_request_that_waits_for_its_client_awaits_no_output() -> None:
    assert [awaits_output(it) for it in (PLAIN, BUSY, WAITING)] == [True, True, False]


async def test_each_core_is_looked_at_by_itself() -> None:
    core, weights = Core(), Weights()
    states: dict[str, Any] = {}
    outputs: Any = SimpleNamespace(received_from=Counter({1: 7}))
    requests: Any = SimpleNamespace(request_states=states)
    first, second = cores_of(core, outputs, requests, weights)
    assert (first.rank, second.rank) == (0, 1)
    assert (first._outputs_handled, second._outputs_handled) == (0, 7)
    assert first._weights is second._weights is weights

    states["a"] = PLAIN
    assert not first._awaits_outputs(), "it has been sent to no core yet"
    core.reqs_in_flight["a"] = FIRST
    states["b"], core.reqs_in_flight["b"] = WAITING, SECOND
    assert (first._awaits_outputs(), second._awaits_outputs()) == (True, False)
    states["b"] = BUSY
    assert second._awaits_outputs()
    assert (await first.is_sleeping(), await second.is_sleeping()) == (False, True)


def test_an_engine_with_one_core_is_looked_at_as_a_whole() -> None:
    anything: Any = None
    assert cores_of(SimpleNamespace(core_engines=[FIRST]), anything, anything, None) == ()
