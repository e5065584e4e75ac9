"""What ``grpc.health.v1`` says, to Kubernetes and to everybody else who asks.

======================  ======================================================
service                 SERVING while
======================  ======================================================
``vllm_bridge.v1.Bridge``  calls are answered, by whatever engines there are
``""``, the whole       calls are answered, and no engine is dead or hangs
the id of a reference   that engine is neither; unknown once it is shut down
======================  ======================================================

A dead engine that is shut down counts no more. So the whole tells where work may
be sent, and the Bridge alone whether the worker has to be restarted.
"""

from __future__ import annotations

import asyncio

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

OVERALL = ""

STATUSES = {
    True: health_pb2.HealthCheckResponse.SERVING,
    False: health_pb2.HealthCheckResponse.NOT_SERVING,
    None: health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
}


class Health:
    """The health of a worker and its engines.

    Attributes:
        servicer: What answers.
    """

    def __init__(self) -> None:
        self.servicer = HealthServicer()
        self._unwell: set[str] = set()
        self._setting: set[asyncio.Task[None]] = set()

    async def serve(self, service: str) -> None:
        """Calls are answered from now on."""
        for name in (OVERALL, service):
            await self.servicer.set(name, STATUSES[True])

    def set_engine(self, ref_id: str, well: bool | None) -> None:
        """Set the health of an engine; None when it is no more."""
        (self._unwell.add if well is False else self._unwell.discard)(ref_id)
        self._set(ref_id, STATUSES[well])
        self._set(OVERALL, STATUSES[not self._unwell])

    def _set(self, service: str, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        # A task begins in its turn and waits only for the lock of those that watch the service,
        # which is fair: the order stays.
        task = asyncio.get_running_loop().create_task(self.servicer.set(service, status))
        self._setting.add(task)
        task.add_done_callback(self._setting.discard)
