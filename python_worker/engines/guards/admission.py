"""Tells the running call when the engine has taken its request, and under which ids."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from typing_extensions import override

from python_worker.engines.guards.protocols import (
    AsyncLLM,
    EngineCoreRequest,
    RequestOutputCollector,
)
from python_worker.streaming.admission import ADMISSION


class AdmissionGuard(AsyncLLM):
    """Reports each request to the ``Admission`` of the call that the task runs.

    It is mixed into engine classes of other makers too, so it passes on what it does not read.
    """

    @override
    async def add_request(self, *args: Any, **kwargs: Any) -> RequestOutputCollector:
        collector = await super().add_request(*args, **kwargs)
        admission = ADMISSION.get()
        if admission is not None:
            admission.collect(collector, self)
        return collector

    @override
    def _add_request(
        self, request: EngineCoreRequest, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, object]:
        # Before the engine has the request: a cancel while it is being sent has to find the id
        # that it must abort.
        admission = ADMISSION.get()
        if admission is not None:
            admission.note(request.request_id)
        return super()._add_request(request, *args, **kwargs)
