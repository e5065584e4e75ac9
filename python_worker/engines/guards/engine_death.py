"""The part of the guard that knows how EngineCore ended, and whether it moves.

vLLM says of every end the same: "EngineCore encountered an issue". And of one
it says nothing at all: an EngineCore that somebody else tells to stop (SIGTERM)
ends its requests with "abort", as if their clients had asked for it, and is dead
only when it has put everything away, some 3 s later.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any

from python_worker.exceptions import Kind
from python_worker.failures import kind_of

ABORT = "abort"

# What EngineCore answers to a call when it has been told to stop.
REFUSAL = "Server shutting down"

# Who says of every end that it is a failure, also of one that was asked for.
LOGGER = "vllm.v1.engine.async_llm"


class Outputs:
    """What EngineCore sends, looked at on its way to the requests.

    An abort that nobody on this side asked for is kept back until EngineCore
    answers a call: it lives then, and the abort is its own decision. One that is
    ending does not answer, so its requests fail with its death like all others.

    Args:
        core: vLLM's client of EngineCore.

    Attributes:
        handled: How many times something came.
        aborting: How many calls run that make EngineCore abort its requests.
        end_expected: Whether EngineCore was told to end, by us.
    """

    def __init__(self, core: Any) -> None:
        self.handled = 0
        self.aborting = 0
        self.end_expected = False
        self._core = core
        self._receive = core.get_output_async
        self._kept: list[Any] = []
        self._believed: set[str] = set()
        self._asking: asyncio.Task[None] | None = None

    async def get(self) -> Any:
        """In place of the client's ``get_output_async``: once for each step."""
        try:
            outputs = await self._receive()
        except BaseException as error:
            self._stop_asking()
            vars(error)["was_expected"] = self.end_expected
            raise
        self.handled += 1
        doubted = [it for it in outputs.outputs if it.finish_reason and self._doubts(it)]
        if doubted:
            self._keep(outputs, doubted)
        return outputs

    def _doubts(self, output: Any) -> bool:
        if str(output.finish_reason) != ABORT:
            return False
        if output.request_id in self._believed:
            self._believed.discard(output.request_id)
            return False
        return not self.aborting

    def _keep(self, outputs: Any, doubted: list[Any]) -> None:
        ids = {it.request_id for it in doubted}
        outputs.outputs = [it for it in outputs.outputs if it.request_id not in ids]
        kept = type(outputs)(
            engine_index=outputs.engine_index,
            outputs=doubted,
            timestamp=outputs.timestamp,
            weight_version=outputs.weight_version,
        )
        self._kept.append(kept)
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        try:
            while self._kept:
                asked = list(self._kept)
                if not await self._lives():
                    return
                for outputs in asked:
                    self._kept.remove(outputs)
                    self._believed.update(it.request_id for it in outputs.outputs)
                    self._core.outputs_queue.put_nowait(outputs)
        finally:
            self._asking = None

    async def _lives(self) -> bool:
        try:
            await self._core.is_scheduler_paused_async()
        except Exception as error:
            # Any other is an answer too: of several, one may be paused and one not.
            return str(error) != REFUSAL and kind_of(error) != Kind.ENGINE_DEAD
        return True

    def _stop_asking(self) -> None:
        # A dead EngineCore would be waited for for ever.
        if self._asking is not None:
            self._asking.cancel()


def mortal(base: Any) -> Any:
    """A subclass that tells how EngineCore ended, and whether it moves."""
    logging.getLogger(LOGGER).addFilter(is_unexpected)

    class Mortal(base):  # type: ignore[misc]
        @functools.wraps(base.__init__)  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._was_shut_down = False
            super().__init__(*args, **kwargs)
            manager = self.engine_core.resources.engine_manager
            # vLLM forgets its processes when they end. With Ray they are not ours.
            self._processes = tuple(getattr(manager, "processes", ()))
            self._outputs = Outputs(self.engine_core)
            self.engine_core.get_output_async = self._outputs.get
            call = self.engine_core._call_utility_async

            async def call_living(*args: Any, **kwargs: Any) -> Any:
                try:
                    return await call(*args, **kwargs)
                except Exception as error:
                    if str(error) != REFUSAL:
                        raise
                    raise self._dead("It was told to stop, and takes no more calls.") from error

            self.engine_core._call_utility_async = call_living

        @functools.wraps(base.shutdown)
        def shutdown(self, timeout: float | None = None) -> None:
            # vLLM also calls it where building has failed, and there is nothing yet.
            outputs = getattr(self, "_outputs", None)
            if outputs is not None and not self.errored:
                self._was_shut_down = True
                outputs.aborting += 1
                outputs.end_expected = True
            base.shutdown(self, timeout)

        @property
        def dead_error(self) -> BaseException:
            """vLLM's, with what ended EngineCore."""
            if not self.errored:
                return self._dead()
            return self._dead(
                "It was shut down." if self._was_shut_down else end_of(self._processes)
            )

        def _dead(self, *why: str) -> BaseException:
            error: BaseException = base.dead_error.fget(self)
            error.args = (" ".join((str(error), *why)),)
            return error

        @functools.wraps(base.pause_generation)
        async def pause_generation(self, *args: Any, **kwargs: Any) -> Any:
            return await self._while_aborting(base.pause_generation, *args, **kwargs)

        @functools.wraps(base.sleep)
        async def sleep(self, *args: Any, **kwargs: Any) -> Any:
            return await self._while_aborting(base.sleep, *args, **kwargs)

        async def _while_aborting(
            self, method: Callable[..., Any], *args: Any, **kwargs: Any
        ) -> Any:
            self._outputs.aborting += 1
            try:
                return await method(self, *args, **kwargs)
            finally:
                self._outputs.aborting -= 1

        # --- For the watchdog; see ``watch`` and ``progress`` ---

        async def _ask_ahead(self) -> None:
            # vLLM asks EngineCore for these once, in its first request, before that counts as one:
            # if EngineCore hung by then, the request would wait for ever and nothing would tell.
            await self.get_supported_tasks()

        @property
        def _outputs_handled(self) -> int:
            return self._outputs.handled

        def _awaits_outputs(self) -> bool:
            # One whose input is a stream may wait for its client as long as that likes.
            return any(
                not (state.streaming_input and state.input_chunk_queue is None)
                for state in self.output_processor.request_states.values()
            )

    return Mortal


def is_unexpected(record: logging.LogRecord) -> bool:
    """Keep the end of an engine that was shut down out of the log of failures."""
    return not (record.exc_info and getattr(record.exc_info[1], "was_expected", False))


def end_of(processes: Sequence[Any]) -> str:
    """How the processes of an engine ended, those that did not end by themselves first.

    Args:
        processes: Those of multiprocessing.
    """
    ended = [(process, process.exitcode) for process in processes]
    ended = sorted((it for it in ended if it[1] is not None), key=lambda it: it[1])
    if not ended:
        return "It reported a fatal error, which its log has."
    return " ".join(
        f"{process.name} (process {process.pid}) {how(code)}." for process, code in ended
    )


def how(status: int) -> str:
    """An exit status of multiprocessing's, in words."""
    if status == -signal.SIGKILL:
        return "was killed by SIGKILL: by somebody, or by the kernel for want of memory"
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"was ended by {name}"
    if status == 0:
        return "ended with status 0, as when somebody tells it to stop (SIGTERM)"
    return f"ended with status {status}, after a fatal error that its log has"
