"""The collector: where the outputs of one ``add_request`` arrive, as a reference.

vLLM's own class also has ``put`` and an input task, and when it is dropped its request goes on
running. This one only returns outputs. It ends after the finished output, as ``generate`` does.
When its reference is released, or its session has ended, the request is aborted in the engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from python_worker.streaming.admission import ADMISSION, Admission

logger = logging.getLogger(__name__)

Abort = Callable[[list[str]], Awaitable[None]]


class _Closed(Exception):
    """Put into vLLM's collector to end a ``get`` that waits."""


class RequestOutputCollector:
    """The outputs of one request, to be taken one by one.

    Args:
        engine: The engine that has the request.
        inner: vLLM's collector.
        abort: Aborts requests by the engine's own ids.

    Attributes:
        engine: The engine, whose death ends what waits here.
    """

    def __init__(self, engine: Any, inner: Any, abort: Abort) -> None:
        self.engine = engine
        self._inner = inner
        self._abort = abort
        self._ended = False
        self._failure: Exception | None = None
        # Two calls of `get` would take turns, and the second would wait for ever.
        self._taking = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    @property
    def request_id(self) -> str:
        """The engine's own id of the request: ``abort`` takes it with ``internal=True``."""
        return str(self._inner.request_id)

    async def get(self) -> Any:
        """Wait for the next output and return it.

        Outputs that were not fetched are merged (DELTA) or replaced by newer ones.

        Returns:
            The output, or None once the finished one was taken or the
            collector was closed.
        """
        async with self._taking:
            if self._ended:
                return None
            self._raise_failure()
            if self._inner.output is None and self.engine.errored:
                raise self.engine.dead_error
            return await self._take(self._inner.get())

    async def get_nowait(self) -> Any:
        """Take the next output if there is one.

        Returns:
            The output, or None.
        """
        if self._ended:
            return None
        self._raise_failure()
        return await self._take(_at_once(self._inner.get_nowait))

    async def close(self) -> None:
        """Abort the request if it still runs, and give out no more."""
        ended, self._ended = self._ended, True
        if ended:
            return
        self._inner.close()
        try:
            await self._abort([self.request_id])
        except Exception as error:
            # The engine may be dead, which ends its requests too.
            logger.debug("aborting %s failed: %s", self.request_id, error)
        if self._inner.output is None:
            self._inner.put(_Closed())

    def released(self) -> None:
        """Abort the request: no reference is left, so nobody can ask for its outputs."""
        if not self._ended:
            self._closing = asyncio.ensure_future(self.close())

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _take(self, taking: Awaitable[Any]) -> Any:
        try:
            output = await taking
        except _Closed:
            return None
        except Exception as error:
            self._failure = error
            raise
        if self._ended:
            return None  # Closed meanwhile: it is the abort's, or came before it.
        if output is not None and output.finished:
            self._ended = True
            if not output.outputs:
                return None  # vLLM's mark for the end of a streamed input
        return output


async def _at_once(take: Callable[[], Any]) -> Any:
    return take()


async def collect(engine: Any, adding: Awaitable[Any], abort: Abort) -> RequestOutputCollector:
    """Carry out ``add_request``; one that is stopped on the way leaves nothing.

    Args:
        engine: The engine.
        adding: Its ``add_request``, not yet awaited.
        abort: As for ``RequestOutputCollector``.
    """
    admission = Admission(sink=None)
    token = ADMISSION.set(admission)
    try:
        inner = await adding
    except BaseException:
        if admission.request_ids:
            await asyncio.shield(_abandon(abort, admission.request_ids))
        raise
    finally:
        ADMISSION.reset(token)
    return RequestOutputCollector(engine, inner, abort)


async def _abandon(abort: Abort, request_ids: list[str]) -> None:
    try:
        await abort(request_ids)
    except Exception as error:
        logger.debug("aborting %s failed: %s", request_ids, error)
