"""What is mixed into vLLM's ``LLMEngine``: checks of requests, and waits that end.

The checks are those of ``AsyncLLM`` (see ``coroutines``). The waits are this class's own: vLLM
waits for EngineCore without a limit, so its caller hangs when EngineCore is killed, when nothing is
left that could bring an output, and when requests are kept waiting by ``sleep``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import queue
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from typing_extensions import override

from python_worker.engines.core_calls import LOOK_SECONDS
from python_worker.engines.guards.protocols import LoRARequest
from python_worker.engines.guards.weight_updates import FROM_WITHIN
from python_worker.exceptions import Cancelled, Conflict
from python_worker.offline.coroutines import at_once, guarded_coroutines
from python_worker.offline.llm_thread import stop_asked
from python_worker.offline.protocols import LLMEngine, SyncMPClient
from python_worker.process import large_work

Result = TypeVar("Result")


class OutputsQueue:
    """In place of a client's ``outputs_queue``: waiting for an output ends after a while.

    Args:
        outputs: The queue that vLLM's thread puts outputs into.
    """

    def __init__(self, outputs: queue.Queue[Any]) -> None:
        self._outputs = outputs
        self.put_nowait = outputs.put_nowait

    def get(self) -> Any:
        """The next output.

        Raises:
            queue.Empty: None has come for a while.
        """
        return self._outputs.get(timeout=LOOK_SECONDS)


class UtilityResults(dict[int, "Future[Any]"]):
    """In place of a client's ``utility_results``: waiting for a result ends when EngineCore does.

    Args:
        results: Where vLLM's thread finds the futures whose results have come.
        check: Raises when EngineCore is dead.
    """

    def __init__(self, results: dict[int, Future[Any]], check: Callable[[], None]) -> None:
        super().__init__()
        self._results = results
        self._check = check

    def __setitem__(self, call_id: int, future: Future[Any]) -> None:
        self._results[call_id] = future
        waiting = functools.partial(self._wait, future, future.result)
        vars(future)["result"] = waiting

    def _wait(self, future: Future[Any], result: Callable[[float], Any]) -> Any:
        while not future.done():
            try:
                return result(LOOK_SECONDS)
            except TimeoutError:
                self._check()
        return result(0)


class LLMEngineGuard(LLMEngine):
    """See the module's documentation.

    It belongs to the thread that made it, as all of ``LLM`` does.
    """

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # How many steps have returned, and how many outputs they have brought.
        self._steps = self._outputs_given = 0
        self._stepping = False
        self._may_be_paused = False
        self._loop = asyncio.new_event_loop()
        given = inspect.signature(super().__init__).bind(*args, **kwargs).arguments
        # In this process a model that fails would end the worker, and all other engines with it.
        given["multiprocess_mode"] = True
        try:
            self._guards = guarded_coroutines()(
                **given, engine=self, vllm=super(), check=self._check_waiting
            )
        except BaseException:
            self._close()
            raise
        self._guard_client(self.engine_core)

    def _guard_client(self, core: SyncMPClient) -> None:
        guarded = self._guards.engine_core
        outputs: Any = OutputsQueue(core.outputs_queue)
        core.outputs_queue = outputs
        core.utility_results = UtilityResults(core.utility_results, self._check_alive)
        core.add_request = lambda request: at_once(guarded.add_request_async(request))
        core.get_output = lambda: self._run(guarded.get_output_async())
        core.call_utility = lambda *args: at_once(guarded._call_utility_async(*args))

    # --- Requests ---

    @override
    def add_request(
        self,
        request_id: str,
        prompt: object,
        params: object,
        arrival_time: float | None = None,
        lora_request: LoRARequest | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> str:
        self._check_stop()
        adding: Coroutine[Any, Any, str] = self._guards.add_request(
            request_id, prompt, params, arrival_time, lora_request, *args, **kwargs
        )
        # Only the loading of an adapter waits.
        return at_once(adding) if lora_request is None else self._run(adding)

    @override
    def step(self) -> list[Any]:
        # Of no request there is no output, which vLLM would wait for.
        if not self.has_unfinished_requests():
            return []
        refused = self._guards._watched.unheard
        refused.clear()
        self._stepping = True
        try:
            outputs = super().step()
        finally:
            self._stepping = False
        self._steps += 1
        self._outputs_given += len(outputs)
        if refused:
            raise refused[0]
        return outputs

    def _check_stop(self) -> None:
        if stop_asked():
            raise Cancelled("the call was given up; what is left of its batch is aborted")

    def _check_alive(self) -> None:
        if self._guards.errored:
            raise self._guards.dead_error

    def _check_waiting(self, has_waited: bool) -> None:
        """Called before each wait for an output, and again when none has come for a while."""
        self._check_stop()
        self._check_alive()
        if has_waited and self._may_be_paused and at_once(self._guards.is_paused()):
            raise Conflict(
                "the LLM sleeps, so none of its requests runs: call wake_up first, without tags "
                'or with ["scheduling"]',
                unfinished_requests=self.get_num_unfinished_requests(),
            )

    # --- What the guards of AsyncLLM follow ---

    @override
    def sleep(self, level: int = 1, mode: str = "abort") -> None:
        self._may_be_paused = True
        self._run(self._guards.sleep(level, mode))

    @override
    def wake_up(self, tags: list[str] | None = None) -> bool:
        awake: bool = self._run(self._guards.wake_up(tags))
        if awake:
            self._may_be_paused = at_once(self._guards.is_paused())
        return awake

    @override
    def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> list[Any]:
        if FROM_WITHIN.get():
            return super().collective_rpc(method, timeout, args, kwargs)
        results: list[Any] = self._run(self._guards.collective_rpc(method, timeout, args, kwargs))
        return results

    def _close(self) -> None:
        """Called once, in the engine's thread, when no more calls come."""
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        with large_work.inline():
            return self._loop.run_until_complete(coroutine)
