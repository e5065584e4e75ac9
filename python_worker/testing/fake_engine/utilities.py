"""The methods of the fake engine that make no tokens: state, pauses, caches, adapters.

They do to the state what vLLM's do, as far as it can be seen from outside.
"""

from __future__ import annotations

from typing import Any, Literal

from python_worker.testing.fake_engine.controls import Controls
from python_worker.testing.fake_engine.core import FakeCore
from python_worker.testing.fake_vllm.errors import EngineDeadError
from python_worker.testing.fake_vllm.tokenizer import FakeTokenizer
from python_worker.testing.fake_vllm.types import AsyncEngineArgs, LoRARequest

PauseMode = Literal["abort", "wait", "keep"]


class Utilities(Controls):
    """What an engine has beside ``generate`` and its like.

    Args:
        engine_args: What it was built from.
    """

    def __init__(self, engine_args: AsyncEngineArgs) -> None:
        super().__init__()
        self.engine_args = engine_args
        self._core = FakeCore(on_change=self._changed, on_abort=self._aborted.append)
        self._stopped = False
        self._shutdown_seconds = 0.0
        self._sleeping = False
        self._loras: dict[int, LoRARequest] = {}

    # --- State ---

    @property
    def is_running(self) -> bool:
        """Whether requests are served."""
        return not self.is_stopped

    @property
    def is_stopped(self) -> bool:
        """Whether it is dead or shut down."""
        return self.errored

    @property
    def errored(self) -> bool:
        """Whether it is dead or shut down: vLLM makes no difference."""
        return self._core.dead or self._stopped

    @property
    def dead_error(self) -> BaseException:
        """The error of a dead engine, also while it lives, as in vLLM."""
        return EngineDeadError()

    async def check_health(self) -> None:
        """Raises if the engine is dead."""
        await self._utility("check_health")

    def get_num_unfinished_requests(self) -> int:
        """Returns how many requests are in the engine; ``n`` completions are ``n``."""
        return self._count_requests()

    async def get_supported_tasks(self) -> tuple[str, ...]:
        """Returns what the model can do."""
        await self._enter("get_supported_tasks")
        pooling = self.engine_args.runner == "pooling"
        return ("embed", "token_embed") if pooling else ("generate",)

    def get_tokenizer(self) -> FakeTokenizer:
        """Returns the tokenizer."""
        self._note("get_tokenizer")
        return self._core.tokenizer

    @property
    def tokenizer(self) -> FakeTokenizer:
        """The tokenizer."""
        return self._core.tokenizer

    async def is_tracing_enabled(self) -> bool:
        """Returns False."""
        await self._enter("is_tracing_enabled")
        return False

    async def do_log_stats(self) -> None:
        """Does nothing."""
        await self._enter("do_log_stats")

    # --- Pausing and sleeping ---

    async def pause_generation(
        self, *, mode: PauseMode = "abort", clear_cache: bool = True
    ) -> None:
        """Stops making tokens; what is in flight is aborted, waited for or kept."""
        await self._utility("pause_generation", mode=mode, clear_cache=clear_cache)
        await self._quiesce(mode)

    async def resume_generation(self) -> None:
        """Makes tokens again, unless asleep."""
        await self._utility("resume_generation")
        self._pause(self._sleeping)

    async def is_paused(self) -> bool:
        """Returns whether it is paused."""
        await self._utility("is_paused")
        return self._core.paused

    async def sleep(self, level: int = 1, mode: PauseMode = "abort") -> None:
        """Pauses and gives memory back, as far as one can tell from outside."""
        await self._utility("sleep", level, mode)
        await self._quiesce(mode)
        self._sleeping = True

    async def wake_up(self, tags: list[str] | None = None) -> bool:
        """Ends a sleep; only weights wake up with the tag "weights" alone."""
        await self._utility("wake_up", tags)
        if tags == ["weights"] and self._sleeping:
            return False
        self._sleeping = False
        self._pause(False)
        return True

    async def is_sleeping(self) -> bool:
        """Returns whether it sleeps or, as in vLLM, is only paused."""
        await self._utility("is_sleeping")
        return self._sleeping or self._core.paused

    # --- Caches, adapters, workers ---

    async def reset_prefix_cache(
        self, reset_running_requests: bool = False, reset_connector: bool = False
    ) -> bool:
        """Returns False while requests are in flight that may not be reset."""
        await self._utility("reset_prefix_cache", reset_running_requests, reset_connector)
        return reset_running_requests or not len(self._core)

    async def reset_mm_cache(self) -> None:
        """Does nothing."""
        await self._utility("reset_mm_cache")

    async def reset_encoder_cache(self) -> None:
        """Does nothing."""
        await self._utility("reset_encoder_cache")

    async def add_lora(self, lora_request: LoRARequest) -> bool:
        """Remembers an adapter."""
        await self._utility("add_lora", lora_request)
        self._check_lora("add_lora")
        self._loras[lora_request.lora_int_id] = lora_request
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        """Forgets an adapter; returns whether it was known."""
        await self._utility("remove_lora", lora_id)
        self._check_lora("remove_lora")
        return self._loras.pop(lora_id, None) is not None

    async def list_loras(self) -> list[int]:
        """Returns the ids of adapters; a list, as vLLM does against its annotation."""
        await self._utility("list_loras")
        self._check_lora("list_loras")
        return sorted(self._loras)

    async def pin_lora(self, lora_id: int) -> bool:
        """Returns True for a known adapter."""
        await self._utility("pin_lora", lora_id)
        self._check_lora("pin_lora")
        if lora_id not in self._loras:
            raise Exception(
                f"Call to pin_lora method failed: Pinning failed. LoRA {lora_id} is not registered."
            )
        return True

    async def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,  # noqa: ASYNC109
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> list[Any]:
        """Returns the arguments, as the one worker process there is would have got them."""
        await self._utility("collective_rpc", method, timeout, args, kwargs)
        return [(method, timeout, args, kwargs)]

    # --- Inside ---

    async def _quiesce(self, mode: PauseMode) -> None:
        if mode == "wait":
            await self._until(lambda: not len(self._core))
        elif mode == "abort":
            self._core.abort_all()
        self._pause(True)

    def _pause(self, paused: bool) -> None:
        self._core.paused = paused
        self._core.wake()

    async def _utility(self, method: str, *args: object, **kwargs: object) -> None:
        self._check_alive()
        await self._enter(method, *args, **kwargs)

    def _check_alive(self) -> None:
        if self.is_stopped:
            raise EngineDeadError

    def _check_lora(self, method: str) -> None:
        if not self.engine_args.enable_lora:
            raise Exception(
                f"Call to {method} method failed: LoRA is not enabled. "
                "Use --enable-lora to enable LoRA."
            )

    @property
    def _outputs_handled(self) -> int:
        return self._core.outputs_handled

    def _awaits_outputs(self) -> bool:
        return bool(len(self._core))

    def _count_requests(self) -> int:
        return len(self._core)

    def _release(self) -> int:
        return self._core.release()

    def _die(self) -> None:
        self._core.die()
