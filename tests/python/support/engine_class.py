"""A stand-in for vLLM's AsyncLLM to mix guards into: it records calls and answers as told."""

from __future__ import annotations

import asyncio
import queue
import threading
from types import SimpleNamespace
from typing import Any


class CoreClient:
    """Stands in for the engine's client of EngineCore.

    Attributes:
        sent: The requests that it was sent.
        refusal: What its utility calls raise.
    """

    def __init__(self) -> None:
        self.resources = SimpleNamespace(
            engine_dead=False, engine_manager=None, coordinator=None, ctx=None
        )
        self.core_engines: list[bytes] = []
        self.input_socket: Any = None
        self.shutdowns: queue.Queue[float | None] = queue.Queue()
        self.outputs_queue: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.refusal: Exception | None = None

    def shutdown(self, timeout: float | None = None) -> None:
        self.shutdowns.put(timeout)

    async def add_request_async(self, request: Any) -> None:
        self.sent.append(request)

    async def get_output_async(self) -> Any:
        return await self.outputs_queue.get()

    async def is_scheduler_paused_async(self) -> bool:
        return False

    async def collective_rpc_async(self, method: str, *args: Any) -> Any:
        return [None]

    async def _call_utility_async(self, method: str, *args: Any) -> Any:
        if self.refusal is not None:
            raise self.refusal
        return (method, *args)


class OutputProcessor:
    """Stands in for vLLM's."""

    def __init__(self) -> None:
        self.request_states: dict[str, Any] = {}
        self.aborted: list[str] = []

    def abort_requests(self, request_ids: Any, internal: bool) -> list[str]:
        assert internal
        self.aborted += request_ids
        return list(request_ids)


class InputProcessor:
    """Stands in for vLLM's.

    Attributes:
        prepared: The prompts that it made requests of, each with the thread it was made in.
    """

    def __init__(self) -> None:
        self.prepared: list[Any] = []

    def _validate_params(self, _params: object, _tasks: object) -> None:
        """All are good."""

    def process_inputs(
        self, request_id: str, prompt: Any, params: Any, resumable: bool = False, **_inputs: Any
    ) -> Any:
        self.prepared.append((prompt, threading.current_thread().name))
        if isinstance(prompt, dict) and "wrong" in prompt:
            raise ValueError("a wrong prompt")
        ids = prompt["prompt_token_ids"] if isinstance(prompt, dict) else list(map(ord, prompt))
        return SimpleNamespace(
            request_id=request_id,
            external_req_id=None,
            prompt_token_ids=ids,
            sampling_params=params,
            resumable=resumable,
            reasoning_parser_kwargs=None,
        )

    async def process_inputs_async(self, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(self.process_inputs, *args, **kwargs)


def configuration(**model: Any) -> Any:
    """A VllmConfig."""
    given: dict[str, Any] = {
        "max_model_len": 8,
        "skip_tokenizer_init": True,
        "logits_processors": None,
        "runner_type": "generate",
        "get_vocab_size": lambda: 100,
        "dtype": None,
    }
    return SimpleNamespace(
        model_config=SimpleNamespace(**given | model),
        parallel_config=SimpleNamespace(
            worker_extension_cls="", world_size_across_dp=1, enable_elastic_ep=False
        ),
        lora_config=SimpleNamespace(max_loras=2),
        structured_outputs_config=SimpleNamespace(backend="xgrammar", reasoning_parser=""),
        reasoning_config=None,
        speculative_config=None,
    )


class EngineClass:
    """Stands in for AsyncLLM.

    Attributes:
        calls: The calls that reached it, each with its name and arguments.
        rpc_error: What ``collective_rpc`` raises.
        rpc_hangs: Whether ``collective_rpc`` never answers.
    """

    def __init__(
        self,
        vllm_config: Any = None,
        executor_class: Any = None,
        log_stats: bool = True,
        stat_loggers: list[Any] | None = None,
    ) -> None:
        self.vllm_config = configuration() if vllm_config is None else vllm_config
        self.model_config = self.vllm_config.model_config
        self.stat_loggers = stat_loggers
        self.output_processor = OutputProcessor()
        self.output_handler: Any = None
        self.input_processor = InputProcessor()
        self.engine_core = CoreClient()
        self.tokenizer = "tokenizer"
        self.calls: list[Any] = []
        self.rpc_error: Exception | None = None
        self.rpc_hangs = False
        self.unfinished = 0
        self.paused = False

    @property
    def errored(self) -> bool:
        return bool(self.engine_core.resources.engine_dead)

    @property
    def dead_error(self) -> BaseException:
        return RuntimeError("EngineCore encountered an issue.")

    def shutdown(self, timeout: float | None = None) -> None:
        """Shutdown, as vLLM's says."""
        self.calls.append(("shutdown", timeout))
        self.engine_core.resources.engine_dead = True

    def _run_output_handler(self) -> None:
        self.output_handler = "running"

    def get_num_unfinished_requests(self) -> int:
        return self.unfinished

    async def get_supported_tasks(self) -> list[str]:
        self.calls.append(("get_supported_tasks",))
        return ["generate"]

    async def add_request(
        self,
        request_id: str,
        prompt: Any,
        params: Any,
        arrival_time: float | None = None,
        lora_request: Any = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        priority: int = 0,
    ) -> Any:
        """Add new request to the AsyncLLM."""
        self.calls.append(("add_request", request_id, prompt, lora_request, priority))
        request = SimpleNamespace(
            request_id=f"{request_id}-1",
            external_req_id=request_id,
            resumable=False,
            prompt_embeds=None,
            lora_request=lora_request,
            cache_salt=None,
            mm_features=None,
            sampling_params=None,
            prompt_token_ids=None,
            reasoning_parser_kwargs=params,
        )
        queue = SimpleNamespace(request_id=request.request_id, aggregate=True)
        await self._add_request(request, None, None, 0, queue)
        return queue

    async def _add_streaming_input_request(
        self, request_id: str, input_stream: Any, sampling_params: Any, arrival_time: Any = None
    ) -> Any:
        """Makes requests of elements on the loop, as vLLM's does."""
        process = self.input_processor.process_inputs
        last = process(request_id, {"prompt_token_ids": [0]}, sampling_params)
        queue = SimpleNamespace(request_id=last.request_id, aggregate=True, elements=[], error=None)
        try:
            async for element in input_stream:
                params = element.sampling_params or sampling_params
                queue.elements.append(process("inner", element.prompt, params, resumable=True))
        except Exception as error:
            queue.error = error
        queue.elements.append(last)
        return queue

    @staticmethod
    def _validate_streaming_input_sampling_params(params: Any) -> None:
        if params == "wrong":
            raise ValueError("wrong parameters")

    async def _add_request(
        self, request: Any, prompt: Any, parent_req: Any, index: int, queue: Any
    ) -> None:
        await self.engine_core.add_request_async(request)

    async def pause_generation(self, *, mode: str = "abort", clear_cache: bool = True) -> None:
        """Pause generation."""
        self.calls.append(("pause_generation", mode, clear_cache))

    async def resume_generation(self) -> None:
        self.calls.append(("resume_generation",))

    async def is_paused(self) -> bool:
        return self.paused

    async def sleep(self, level: int = 1, mode: str = "abort") -> None:
        self.calls.append(("sleep", level, mode))

    async def wake_up(self, tags: list[str] | None = None) -> bool:
        self.calls.append(("wake_up", tags))
        return True

    async def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,  # noqa: ASYNC109 - vLLM's own parameter
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Perform a collective RPC call to the given path."""
        self.calls.append(("collective_rpc", method, timeout, args, kwargs))
        if self.rpc_error is not None:
            raise self.rpc_error
        if self.rpc_hangs:
            await asyncio.Event().wait()
        return [method]

    async def add_lora(self, lora_request: Any) -> bool:
        self.calls.append(("add_lora", lora_request.lora_int_id))
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        self.calls.append(("remove_lora", lora_id))
        return True

    async def pin_lora(self, lora_id: int) -> bool:
        self.calls.append(("pin_lora", lora_id))
        return True

    async def list_loras(self) -> Any:
        return [1, 2]

    async def init_weight_transfer_engine(self, request: Any) -> None:
        await self.collective_rpc("init_weight_transfer_engine")

    async def shutdown_weight_transfer_engine(self) -> None:
        await self.collective_rpc("shutdown_weight_transfer_engine")

    async def start_weight_update(self) -> None:
        await self.collective_rpc("start_weight_update")

    async def start_draft_weight_update(self) -> None:
        await self.collective_rpc("start_draft_weight_update")

    async def update_weights(self, request: Any) -> None:
        await self.collective_rpc("update_weights")

    async def finish_weight_update(self, weight_version: str | None = None) -> None:
        await self.collective_rpc("finish_weight_update")

    async def scale_elastic_ep(self, new_data_parallel_size: int, drain_timeout: int = 300) -> None:
        raise NotImplementedError

    async def handle_fault(self, fault_tolerance_request: Any) -> Any:
        raise AssertionError("would end a thread of EngineCore")
