"""Tells the running call when the engine has taken its request."""

from __future__ import annotations

import functools
from typing import Any

from python_worker.streaming.admission import ADMISSION


def admitting(base: Any) -> Any:
    """A subclass that tells the running call about its request's admission."""

    class Admitting(base):  # type: ignore[misc]
        @functools.wraps(base.add_request)
        async def add_request(self, *args: Any, **kwargs: Any) -> Any:
            collector = await base.add_request(self, *args, **kwargs)
            admission = ADMISSION.get()
            if admission is not None:
                admission.collect(collector, self)
            return collector

        @functools.wraps(base._add_request)
        async def _add_request(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            # Before the engine has it, so that a cancel in the middle of the
            # sending still finds the id to abort.
            admission = ADMISSION.get()
            if admission is not None:
                admission.note(request.request_id)
            return await base._add_request(self, request, *args, **kwargs)

    Admitting.__name__ = Admitting.__qualname__ = "AsyncLLM"
    return Admitting
