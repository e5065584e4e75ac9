"""An ``LLMEngine`` with the methods of ``AsyncLLM``, so that the guards of that guard it too.

The guards in ``engines.guards`` are mixed into ``AsyncLLM``, whose methods are coroutines. Here
they are mixed into ``CoroutineEngine``, whose coroutines call the blocking methods of an
``LLMEngine``. So there is one set of guards, and what one of them refuses is refused in both.

All of it runs in the thread of its ``LLM``, on an event loop that runs only during a call. Large
work holds up nobody there: what the guards do in threads for ``AsyncLLM``, they do at once.
"""

from __future__ import annotations

import asyncio
import functools
import queue
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from python_worker.engines.guards.async_llm import AsyncLLMGuard
from python_worker.engines.guards.engine_death import EngineDeathGuard
from python_worker.engines.guards.guarded import compose
from python_worker.engines.guards.lora import LoRAGuard
from python_worker.engines.guards.protocols import (
    EngineCoreOutputs,
    EngineCoreRequest,
    InputProcessor,
    LoRARequest,
    ModelConfig,
    OutputProcessor,
    VllmConfig,
)
from python_worker.engines.guards.stat_loggers import StatLoggerGuard
from python_worker.engines.guards.weight_updates import WeightUpdatesGuard
from python_worker.offline import vllm_parts
from python_worker.offline.protocols import LLMEngine, Renderer, SyncMPClient
from python_worker.process import large_work

Result = TypeVar("Result")

NAME = "LLM"
"""What the guarded class is called: error messages name its methods."""

# In the order of ``engines.guards.guarded``. Those that are left out are about streams.
GUARDS: tuple[type, ...] = (
    AsyncLLMGuard,
    WeightUpdatesGuard,
    LoRAGuard,
    EngineDeathGuard,
    StatLoggerGuard,
)


class CoreClient:
    """vLLM's blocking client of EngineCore, with the methods of its ``AsyncMPClient``.

    Args:
        core: The client, before anything of it is replaced.
        check: Raises where a wait has to end; told whether it has waited already.
    """

    def __init__(self, core: SyncMPClient, check: Callable[[bool], None]) -> None:
        self.resources = core.resources
        self.outputs_queue = core.outputs_queue
        # Its one core is a process that vLLM watches.
        self.core_engines = ()
        self._check = check
        self._send, self._receive, self._call = core.add_request, core.get_output, core.call_utility
        # Fields, because guards replace them.
        self.add_request_async: Callable[..., Any] = self._add_request
        self.get_output_async: Callable[..., Any] = self._get_output
        self._call_utility_async: Callable[..., Any] = self._call_utility

    async def is_scheduler_paused_async(self) -> bool:
        """Whether EngineCore keeps its requests waiting."""
        paused: bool = await self._call_utility_async("is_scheduler_paused")
        return paused

    async def collective_rpc_async(
        self,
        method: str,
        timeout: float | None = None,  # noqa: ASYNC109 - vLLM's own parameter
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        """Call a method of the worker processes."""
        return await self._call_utility_async("collective_rpc", method, timeout, args, kwargs)

    async def _add_request(self, request: EngineCoreRequest) -> None:
        self._send(request)

    async def _get_output(self) -> EngineCoreOutputs:
        has_waited = False
        while True:
            self._check(has_waited)
            try:
                return self._receive()
            except queue.Empty:
                has_waited = True
                # Guards may ask EngineCore something meanwhile.
                await asyncio.sleep(0)

    async def _call_utility(self, method: str, *args: object) -> object:
        return self._call(method, *args)


class CoroutineEngine:
    """See the module's documentation.

    Args:
        vllm_config: As of ``LLMEngine``.
        executor_class: As of ``LLMEngine``.
        log_stats: As of ``LLMEngine``.
        stat_loggers: As of ``LLMEngine``.
        engine: The engine, whose ``__init__`` has not run yet.
        vllm: Its methods without a guard: ``super()`` of its guard.
        check: As of ``CoreClient``.
        others: The other arguments of ``LLMEngine``.
    """

    def __init__(
        self,
        vllm_config: VllmConfig,
        executor_class: object,
        log_stats: bool,
        stat_loggers: list[Any] | None = None,
        *,
        engine: LLMEngine,
        vllm: Any,
        check: Callable[[bool], None],
        **others: Any,
    ) -> None:
        self._engine = engine
        self._vllm = vllm
        # The methods of ``LLM`` that update weights, by name; ``LLMGuard`` sets them.
        self.weight_methods: dict[str, Callable[..., None]] = {}
        vllm.__init__(
            vllm_config=vllm_config,
            executor_class=executor_class,
            log_stats=log_stats,
            stat_loggers=stat_loggers,
            **others,
        )
        self.engine_core = CoreClient(engine.engine_core, check)

    @property
    def vllm_config(self) -> VllmConfig:
        """The engine's configuration."""
        return self._engine.vllm_config

    @property
    def model_config(self) -> ModelConfig:
        """What it knows of its model."""
        return self._engine.model_config

    @property
    def input_processor(self) -> InputProcessor:
        """What makes requests of prompts."""
        return self._engine.input_processor

    @property
    def renderer(self) -> Renderer:
        """What makes tokens and tensors of prompts."""
        return self._engine.renderer

    @property
    def output_processor(self) -> OutputProcessor:
        """What has its requests."""
        return self._engine.output_processor

    @property
    def tokenizer(self) -> object | None:
        """Its tokenizer."""
        return self._engine.tokenizer

    @property
    def errored(self) -> bool:
        """Whether EngineCore is dead."""
        return self._engine.engine_core.resources.engine_dead

    @property
    def dead_error(self) -> BaseException:
        """The error of calls then."""
        return vllm_parts.engine_dead()

    def shutdown(self, timeout: float | None = None) -> None:
        """End the engine's processes."""
        self._engine.renderer.shutdown()
        self._engine.engine_core.shutdown(timeout)

    def get_num_unfinished_requests(self) -> int:
        """How many requests have not ended."""
        return self._engine.get_num_unfinished_requests()

    async def add_request(self, request_id: str, *args: Any, **kwargs: Any) -> Any:
        """Add a request; returns the engine's id of it."""
        return self._vllm.add_request(request_id, *args, **kwargs)

    async def abort(self, request_ids: list[str], internal: bool = False) -> None:
        """End requests."""
        self._engine.abort_request(request_ids, internal)

    async def is_paused(self) -> bool:
        """Whether requests are kept waiting."""
        return await self.engine_core.is_scheduler_paused_async()

    async def sleep(self, level: int = 1, mode: str = "abort") -> None:
        """Put the engine to sleep."""
        self._vllm.sleep(level, mode)

    async def wake_up(self, tags: list[str] | None = None) -> bool:
        """Wake it up."""
        awake: bool = self._vllm.wake_up(tags)
        return awake

    async def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,  # noqa: ASYNC109 - vLLM's own parameter
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        """Call a method of the worker processes, in a thread: the guard limits the time of it."""
        call = functools.partial(self._vllm.collective_rpc, method, timeout, args, kwargs)
        return await asyncio.to_thread(call)

    async def add_lora(self, lora_request: LoRARequest) -> bool:
        """Load an adapter."""
        added: bool = self._vllm.add_lora(lora_request)
        return added

    async def remove_lora(self, lora_id: int) -> bool:
        """Remove one."""
        removed: bool = self._vllm.remove_lora(lora_id)
        return removed

    async def list_loras(self) -> Iterable[int]:
        """The ids of those that are loaded."""
        ids: Iterable[int] = self._vllm.list_loras()
        return ids

    async def pin_lora(self, lora_id: int) -> bool:
        """Pin one."""
        pinned: bool = self._vllm.pin_lora(lora_id)
        return pinned

    async def init_weight_transfer_engine(self, request: object) -> None:
        """Connect to a trainer."""
        self.weight_methods["init_weight_transfer_engine"](request)

    async def shutdown_weight_transfer_engine(self) -> None:
        """Disconnect from it."""
        self.weight_methods["shutdown_weight_transfer_engine"]()

    async def start_weight_update(self) -> None:
        """Open an update."""
        self.weight_methods["start_weight_update"]()

    async def start_draft_weight_update(self) -> None:
        """Open an update of the draft model."""
        self.weight_methods["start_draft_weight_update"]()

    async def update_weights(self, request: object) -> None:
        """Load a part of the weights."""
        self.weight_methods["update_weights"](request)

    async def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Close the update."""
        self.weight_methods["finish_weight_update"](weight_version)


@functools.cache
def guarded_coroutines() -> Any:
    """``CoroutineEngine`` with the guards mixed in."""
    return compose(CoroutineEngine, GUARDS, name=NAME)


def at_once(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine that waits for large work at most, in a coroutine or outside of one.

    Raises:
        RuntimeError: It waits for something else.
    """
    try:
        with large_work.inline():
            coroutine.send(None)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} waits, where it may not")
