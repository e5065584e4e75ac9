"""Each of several EngineCores, as the stall detector looks at it.

An engine with data parallelism has several, and each has requests of its own. One that hangs beside
one that is busy is not seen where only the outputs of the engine are counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from python_worker.engines.guards.core_outputs import CoreOutputs
from python_worker.engines.guards.protocols import DPLBAsyncMPClient, OutputProcessor, RequestState
from python_worker.engines.guards.weights import Weights


def awaits_output(state: RequestState) -> bool:
    """Whether a request should get an output."""
    # One whose input is a stream may wait for its client as long as that likes.
    return not (state.streaming_input and state.input_chunk_queue is None)


class CoreProgress:
    """One of an engine's cores.

    Args:
        identity: The core's rank, in two bytes.
        core: vLLM's client of the cores.
        outputs: What comes from them.
        requests: The requests of the engine.
        weights: The state of the engine's weights.
    """

    def __init__(
        self,
        identity: bytes,
        core: DPLBAsyncMPClient,
        outputs: CoreOutputs,
        requests: OutputProcessor,
        weights: Weights | None,
    ) -> None:
        self.rank = int.from_bytes(identity, "little")
        self._identity = identity
        self._core = core
        self._outputs = outputs
        self._requests = requests
        self._weights = weights

    @property
    def _outputs_handled(self) -> int:
        return self._outputs.received_from[self.rank]

    def _awaits_outputs(self) -> bool:
        in_flight = self._core.reqs_in_flight
        return any(
            awaits_output(state)
            for request_id, state in self._requests.request_states.items()
            if in_flight.get(request_id) == self._identity
        )

    async def is_sleeping(self) -> bool:
        """Whether this core sleeps or is paused; one that hangs does not answer."""
        call = self._core._call_utility_async("is_sleeping", engine=self._identity)
        return cast("bool", await call)


def cores_of(
    core: object, outputs: CoreOutputs, requests: OutputProcessor, weights: Weights | None
) -> Iterable[CoreProgress]:
    """The cores of an engine that knows which of them has which request; none of any other."""
    if not hasattr(core, "reqs_in_flight"):
        return ()
    client = cast("DPLBAsyncMPClient", core)
    return [
        CoreProgress(identity, client, outputs, requests, weights)
        for identity in client.core_engines
    ]
