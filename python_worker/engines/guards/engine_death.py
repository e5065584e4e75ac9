"""Says how EngineCore ended, and counts what it sends.

vLLM says the same of every end: "EngineCore encountered an issue". Of some it says nothing at all:
see ``core_outputs`` and ``core_parts``. How the processes ended is read in ``core_exits``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Iterable
from typing import Any

from typing_extensions import override

from python_worker import core_errors
from python_worker.core_errors import Meaning
from python_worker.engines.guards import vllm_parts
from python_worker.engines.guards.core_exits import describe_exits, processes_of
from python_worker.engines.guards.core_outputs import CoreOutputs
from python_worker.engines.guards.core_parts import UnwatchedParts
from python_worker.engines.guards.core_progress import CoreProgress, awaits_output, cores_of
from python_worker.engines.guards.protocols import AsyncLLM

logger = logging.getLogger(__name__)

# Logs every end as a failure, also one that was asked for.
LOGGER = "vllm.v1.engine.async_llm"


def is_unexpected(record: logging.LogRecord) -> bool:
    """Keep the end of an engine that was shut down out of the log of failures."""
    return not (record.exc_info and getattr(record.exc_info[1], "was_expected", False))


class EngineDeathGuard(AsyncLLM):
    """Explains ``dead_error``, and tells the stall detector whether outputs come."""

    # vLLM also calls ``shutdown`` where building has failed, before ``__init__`` got here.
    _outputs: CoreOutputs | None = None
    _was_shut_down = False
    # What vLLM has not noticed the end of, in words.
    _unnoticed: str | None = None
    _was_put_away = False

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        logging.getLogger(LOGGER).addFilter(is_unexpected)  # once, however many engines there are
        super().__init__(*args, **kwargs)
        core = self.engine_core
        # vLLM forgets its processes when they end.
        self._processes = processes_of(core.resources.engine_manager)
        self._parts = UnwatchedParts(
            core,
            self._processes,
            vllm_parts.empty_abort,
            keeps_its_cores=not self.vllm_config.parallel_config.enable_elastic_ep,
        )
        self._outputs = CoreOutputs(core, lambda it: self.output_processor.request_states.get(it))
        core.get_output_async = self._outputs.get
        self._call_utility = core._call_utility_async
        core._call_utility_async = self._call_running_core

    async def _call_running_core(self, *args: Any, **kwargs: Any) -> object:
        """In place of the client's: an EngineCore that is stopping is a dead one."""
        try:
            return await self._call_utility(*args, **kwargs)
        except Exception as error:
            if not core_errors.means(error, Meaning.SHUTTING_DOWN):
                raise
            raise self._dead("It was told to stop, and takes no more calls.") from error

    @override
    def shutdown(self, timeout: float | None = None) -> None:
        if self._outputs is not None and not self.errored:
            self._was_shut_down = True
            self._outputs.aborting += 1
            self._outputs.end_expected = True
        super().shutdown(timeout)

    @property
    def dead_error(self) -> BaseException:
        """vLLM's, with what ended EngineCore."""
        if not self.errored:
            return self._dead()
        if self._was_shut_down:
            return self._dead("It was shut down.")
        return self._dead(self._unnoticed or describe_exits(self._processes))

    def _dead(self, *reasons: str) -> BaseException:
        error = super().dead_error
        error.args = (" ".join((str(error), *reasons)),)
        return error

    @override
    async def pause_generation(self, **kwargs: Any) -> None:
        await self._while_aborting(super().pause_generation(**kwargs))

    @override
    async def sleep(self, *args: Any, **kwargs: Any) -> None:
        await self._while_aborting(super().sleep(*args, **kwargs))

    async def _while_aborting(self, call: Awaitable[None]) -> None:
        assert self._outputs is not None
        self._outputs.aborting += 1
        try:
            await call
        finally:
            self._outputs.aborting -= 1

    # --- For ``dispatch.engine_watch`` and ``engines.stall_detector`` ---

    def _look_at_parts(self) -> None:
        """End the engine if a part of it has ended that vLLM does not watch."""
        if self._was_shut_down or self._was_put_away or not self._parts:
            return
        if not self.errored and (reason := self._parts.ended()) is not None:
            self._unnoticed = reason
            # As vLLM does for what it watches.
            self.engine_core.resources.engine_dead = True
            self.engine_core.outputs_queue.put_nowait(vllm_parts.engine_dead())
        if self.errored:
            # A core on another host ends when its connection does.
            self._was_put_away = True
            threading.Thread(target=self._put_away, name="dead-engine", daemon=True).start()

    def _put_away(self) -> None:
        try:
            self.engine_core.shutdown()
        except Exception:
            logger.exception("what is left of a dead engine could not be ended")

    def _cores(self) -> Iterable[CoreProgress]:
        """Its cores, where each has requests of its own."""
        assert self._outputs is not None
        weights = getattr(self, "_weights", None)
        if self.vllm_config.parallel_config.enable_elastic_ep:
            return ()
        return cores_of(self.engine_core, self._outputs, self.output_processor, weights)

    async def _ask_ahead(self) -> None:
        # vLLM asks EngineCore for these once, in its first request, before that counts as one:
        # if EngineCore hung by then, the request would wait for ever and nothing would tell.
        await self.get_supported_tasks()

    @property
    def _outputs_handled(self) -> int:
        assert self._outputs is not None
        return self._outputs.received

    def _awaits_outputs(self) -> bool:
        return any(map(awaits_output, self.output_processor.request_states.values()))
