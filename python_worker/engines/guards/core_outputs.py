"""What EngineCore sends, seen before the requests get it: aborts that nobody asked for wait.

An EngineCore that somebody else tells to stop (SIGTERM) ends its requests with "abort", as if
their clients had asked for it, and counts as dead only when it has put everything away, some
3 s later.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from python_worker import core_errors
from python_worker.core_errors import Meaning
from python_worker.engines.guards.logprobs_work import FindState, LogprobsWork
from python_worker.engines.guards.protocols import (
    AsyncMPClient,
    EngineCoreOutput,
    EngineCoreOutputs,
)
from python_worker.exceptions import Kind
from python_worker.failures import kind_of

ABORT = "abort"


class CoreOutputs:
    """The outputs of one EngineCore.

    An abort that nobody on this side asked for is held back until EngineCore answers a call: it
    lives then, and the abort was its own decision. One that is ending does not answer, so its
    requests fail with its death like all others.

    Args:
        core: vLLM's client of EngineCore.
        find_state: Returns the state of a request, None if it has ended.

    Attributes:
        received: How many times something came.
        received_from: The same by the rank of the core.
        aborting: How many calls run that make EngineCore abort its requests.
        end_expected: Whether we told EngineCore to end.
    """

    def __init__(self, core: AsyncMPClient, find_state: FindState) -> None:
        self._logprobs = LogprobsWork(core, find_state)
        self.received = 0
        self.received_from: Counter[int] = Counter()
        self.aborting = 0
        self.end_expected = False
        self._core = core
        self._receive = core.get_output_async
        self._held: list[EngineCoreOutputs] = []
        # Requests whose abort was confirmed and is on its way through the queue again.
        self._confirmed: set[str] = set()
        self._asking: asyncio.Task[None] | None = None

    async def get(self) -> EngineCoreOutputs:
        """In place of the client's ``get_output_async``: called once for each step."""
        try:
            outputs = await self._receive()
        except BaseException as error:
            # A dead EngineCore would never answer.
            if self._asking is not None:
                self._asking.cancel()
            vars(error)["was_expected"] = self.end_expected
            raise
        self.received += 1
        self.received_from[outputs.engine_index] += 1
        self._logprobs.hold(outputs)
        aborts = [it for it in outputs.outputs if it.finish_reason and self._is_unasked_abort(it)]
        if aborts:
            self._hold(outputs, aborts)
        return outputs

    def _is_unasked_abort(self, output: EngineCoreOutput) -> bool:
        if str(output.finish_reason) != ABORT:
            return False
        if output.request_id in self._confirmed:
            self._confirmed.discard(output.request_id)
            return False
        return not self.aborting

    def _hold(self, outputs: EngineCoreOutputs, aborts: list[EngineCoreOutput]) -> None:
        ids = {it.request_id for it in aborts}
        outputs.outputs = [it for it in outputs.outputs if it.request_id not in ids]
        held = type(outputs)(
            engine_index=outputs.engine_index,
            outputs=aborts,
            timestamp=outputs.timestamp,
            weight_version=outputs.weight_version,
        )
        self._held.append(held)
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._release_if_alive())

    async def _release_if_alive(self) -> None:
        try:
            while self._held:
                asked_about = list(self._held)
                if not await self._answers():
                    return
                for outputs in asked_about:
                    self._held.remove(outputs)
                    self._confirmed.update(it.request_id for it in outputs.outputs)
                    self._core.outputs_queue.put_nowait(outputs)
        finally:
            self._asking = None

    async def _answers(self) -> bool:
        try:
            await self._core.is_scheduler_paused_async()
        except Exception as error:
            # Any other error is an answer too: of several engines, one may be paused and one not.
            is_stopping = core_errors.means(error, Meaning.SHUTTING_DOWN)
            return not is_stopping and kind_of(error) != Kind.ENGINE_DEAD
        return True
