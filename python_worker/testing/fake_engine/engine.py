"""An engine without vLLM: ``--engine-class python_worker.testing.fake_engine.engine:FakeAsyncLLM``.

It starts at once, needs no model and behaves in every outward way like ``AsyncLLM``: the same
methods with the same annotations, requests that are admitted through ``add_request`` and
``_add_request``, one output handler that steps all of them together, collectors that merge what
was not taken, ``n`` completions, aborts, pauses, death. What it generates is known in advance:
token ``i`` of completion ``k`` has the id ``256 + 100000 * k + i`` and that number as text.

A test scripts it, and asks afterwards what reached it, through the methods of ``Controls``::

    await engine.script({"tokens": 3, "delay": 0.01}, prompt="slow")
    await engine.inject("sleep", {"error": ["ValueError", "not now"]})
    await engine.calls("abort")
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

from python_worker.chat.completions import Asked, Chat
from python_worker.testing.fake_engine import chats, plan
from python_worker.testing.fake_engine.members import Members
from python_worker.testing.fake_engine.requests import (
    EngineCoreRequest,
    Parent,
    RequestOutputCollector,
)
from python_worker.testing.fake_engine.script import Behaviour
from python_worker.testing.fake_engine.streaming import (
    STREAM_FINISHED,
    InputStreamError,
    add_stream,
)
from python_worker.testing.fake_vllm.configs import (
    Executor,
    StatLoggerFactory,
    VllmConfig,
    create_engine_config,
)
from python_worker.testing.fake_vllm.errors import (
    EngineDeadError,
    EngineGenerateError,
    QueueOverflowError,
    VLLMClientError,
    VLLMValidationError,
    make_error,
)
from python_worker.testing.fake_vllm.types import (
    AsyncEngineArgs,
    LoRARequest,
    PoolingParams,
    PoolingRequestOutput,
    Prompt,
    RequestOutput,
    SamplingParams,
    StreamingInput,
)


class FakeAsyncLLM(Members):
    """See the module's documentation."""

    # What is served as ``LLM`` beside it.
    offline_class = "python_worker.testing.fake_engine.offline:FakeLLM"

    def __init__(
        self,
        vllm_config: VllmConfig,
        executor_class: type[Executor],
        log_stats: bool,
        usage_context: Any = None,
        mm_registry: Any = None,
        log_requests: bool = True,
        start_engine_loop: bool = True,
        stat_loggers: list[StatLoggerFactory] | None = None,
        aggregate_engine_logging: bool = False,
        client_addresses: dict[str, Any] | None = None,
        client_count: int = 1,
        client_index: int = 0,
        profiler: Any = None,
    ) -> None:
        super().__init__(vllm_config.engine_args)
        self.vllm_config = vllm_config
        self.executor_class = executor_class

    @classmethod
    def from_vllm_config(
        cls,
        vllm_config: VllmConfig,
        start_engine_loop: bool = True,
        usage_context: Any = None,
        stat_loggers: list[StatLoggerFactory] | None = None,
        enable_log_requests: bool = False,
        aggregate_engine_logging: bool = False,
        disable_log_stats: bool = False,
        client_addresses: dict[str, Any] | None = None,
        client_count: int = 1,
        client_index: int = 0,
    ) -> FakeAsyncLLM:
        """Builds an engine.

        ``engine_args.additional_config["fake"]`` may hold how it begins: the keys of
        ``plan``, such as ``build_seconds``, ``build_error`` and ``script``.
        """
        own = vllm_config.engine_args.additional_config.get("fake", {})
        config = plan.PLAN.start(own)
        # An event nobody sets: time.sleep that a debugger can tell from the others.
        threading.Event().wait(config.get("build_seconds", 0))
        if "build_until" in config:
            plan.wait_for_file(config["build_until"])
        if "build_error" in config:
            raise make_error(config["build_error"])
        engine = cls(vllm_config, Executor.get_class(vllm_config), not disable_log_stats)
        plan.PLAN.begin(engine, own)
        engine._shutdown_seconds = config.get("shutdown_seconds", 0)
        return engine

    @classmethod
    def from_engine_args(
        cls,
        engine_args: AsyncEngineArgs,
        start_engine_loop: bool = True,
        usage_context: Any = None,
        stat_loggers: list[StatLoggerFactory] | None = None,
    ) -> FakeAsyncLLM:
        """Builds an engine, as ``from_vllm_config`` does, of their configuration."""
        return cls.from_vllm_config(create_engine_config(engine_args), stat_loggers=stat_loggers)

    # --- Generation ---

    async def generate(
        self,
        prompt: Prompt | AsyncGenerator[StreamingInput, None],
        sampling_params: SamplingParams,
        request_id: str,
        *,
        prompt_text: str | None = None,
        lora_request: LoRARequest | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        trace_headers: Mapping[str, str] | None = None,
        priority: int = 0,
        data_parallel_rank: int | None = None,
        session_id: str | None = None,
        kv_hints: Any = None,
        reasoning_ended: bool | None = None,
        reasoning_parser_kwargs: dict[str, Any] | None = None,
    ) -> AsyncGenerator[RequestOutput, None]:
        """Yields the outputs of one request; closing it aborts the request."""
        given = _given(
            prompt_text=prompt_text,
            lora_request=lora_request,
            tokenization_kwargs=tokenization_kwargs,
            trace_headers=trace_headers,
            data_parallel_rank=data_parallel_rank,
            session_id=session_id,
        )
        shown = repr(prompt) if isinstance(prompt, AsyncGenerator) else prompt
        await self._enter(
            "generate", shown, sampling_params, request_id, priority=priority, **given
        )
        outputs = self._outputs(
            prompt, sampling_params, request_id, lora_request=lora_request, priority=priority
        )
        async with contextlib.aclosing(outputs):
            async for output in outputs:
                yield output

    async def encode(
        self,
        prompt: Prompt,
        pooling_params: PoolingParams,
        request_id: str,
        lora_request: LoRARequest | None = None,
        trace_headers: Mapping[str, str] | None = None,
        priority: int = 0,
        tokenization_kwargs: dict[str, Any] | None = None,
        reasoning_ended: bool | None = None,
    ) -> AsyncGenerator[PoolingRequestOutput, None]:
        """Yields the one output of a pooling request."""
        given = _given(
            lora_request=lora_request,
            trace_headers=trace_headers,
            tokenization_kwargs=tokenization_kwargs,
        )
        await self._enter("encode", prompt, pooling_params, request_id, priority=priority, **given)
        outputs = self._outputs(
            prompt, pooling_params, request_id, lora_request=lora_request, priority=priority
        )
        async with contextlib.aclosing(outputs):
            async for output in outputs:
                yield output

    async def _outputs(
        self,
        prompt: Prompt | AsyncGenerator[StreamingInput, None],
        params: SamplingParams | PoolingParams,
        request_id: str,
        *,
        lora_request: LoRARequest | None,
        priority: int,
    ) -> AsyncGenerator[Any, None]:
        """What ``generate`` and ``encode`` share; the order of the excepts is vLLM's."""
        queue: RequestOutputCollector | None = None
        try:
            queue = await self.add_request(
                request_id, prompt, params, lora_request=lora_request, priority=priority
            )
            finished = False
            while not finished:
                output = queue.get_nowait() or await queue.get()
                finished = output.finished
                if output is not STREAM_FINISHED:
                    yield output
        except (asyncio.CancelledError, GeneratorExit):
            if queue is not None:
                await self.abort(queue.request_id, internal=True)
            raise
        except (EngineDeadError, VLLMClientError, QueueOverflowError):
            raise
        except InputStreamError as error:
            if queue is not None:
                await self.abort(queue.request_id, internal=True)
            raise error.cause from error
        except Exception as error:
            if queue is not None:
                await self.abort(queue.request_id, internal=True)
            raise EngineGenerateError from error
        finally:
            if queue is not None:
                queue.close()

    async def add_request(
        self,
        request_id: str,
        prompt: Prompt | AsyncGenerator[StreamingInput, None],
        params: SamplingParams | PoolingParams,
        arrival_time: float | None = None,
        lora_request: LoRARequest | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        trace_headers: Mapping[str, str] | None = None,
        priority: int = 0,
        data_parallel_rank: int | None = None,
        session_id: str | None = None,
        prompt_text: str | None = None,
        reasoning_ended: bool | None = None,
        reasoning_parser_kwargs: dict[str, Any] | None = None,
        kv_hints: Any = None,
    ) -> RequestOutputCollector:
        """Admits a request and returns the slot where its outputs arrive."""
        self._check_alive()
        if isinstance(prompt, AsyncGenerator):
            self._core.start()
            return await add_stream(self, request_id, prompt, params, lora_request, self._core.wake)
        request = self._make_request(request_id, prompt, params, lora_request)
        if request.behaviour.hang_in == "admission":
            await self.wait_forever()
        if request.behaviour.refuse is not None:
            raise make_error(request.behaviour.refuse)
        self._admit(1 if isinstance(params, PoolingParams) else params.n)
        self._core.start()
        queue = RequestOutputCollector(
            params.output_kind, request.request_id, on_taken=self._core.wake
        )
        if isinstance(params, PoolingParams) or params.n == 1:
            await self._add_request(request, request.prompt, None, 0, queue)
            return queue
        parent = Parent(request.request_id)
        children = [request.child(index) for index in range(params.n)]
        try:
            # All of them are known before the first await, and before any can finish.
            for index, child in enumerate(children):
                self._core.register(child, parent, index, queue)
            for child in children:
                await self._core.send(child)
        except BaseException:
            await self.abort(parent.request_id, internal=True)
            raise
        return queue

    async def _add_request(
        self,
        request: EngineCoreRequest,
        prompt: str | None,
        parent_req: Parent | None,
        index: int,
        queue: RequestOutputCollector,
    ) -> None:
        self._core.register(request, parent_req, index, queue)
        await self._core.send(request)

    async def abort(self, request_id: str | Iterable[str], internal: bool = False) -> None:
        """Ends requests with a last output whose ``finish_reason`` is "abort".

        Args:
            request_id: One or more; an id that is not known is ignored.
            internal: Whether these are the engine's own ids. A caller's id ends every request
                that was given it.
        """
        ids = [request_id] if isinstance(request_id, str) else list(request_id)
        await self._enter("abort", ids, internal=internal)
        for one in ids:
            self._core.abort(one, internal=internal)

    def shutdown(self, timeout: float | None = None) -> None:
        """Ends the engine and its children; what is in flight ends with "abort"."""
        self._note("shutdown", timeout)
        self._stopped = True
        threading.Event().wait(self._shutdown_seconds)
        self._end_children()
        # Like vLLM's, this is called in a thread.
        self._core.stop_threadsafe()

    # --- Inside ---

    async def _prepare_chat(self, asked: Asked) -> Chat:
        """Makes a chat without vLLM; see ``chat.completions``."""
        return await chats.prepare(self, asked)

    def _make_request(
        self,
        request_id: str,
        prompt: Prompt,
        params: SamplingParams | PoolingParams,
        lora_request: LoRARequest | None,
    ) -> EngineCoreRequest:
        if isinstance(prompt, dict):
            parts: Mapping[str, Any] = prompt
            text, token_ids = parts.get("prompt"), parts.get("prompt_token_ids")
        else:
            text, token_ids = (prompt, None) if isinstance(prompt, str) else (None, prompt)
        if token_ids is None:
            token_ids = self._core.tokenizer.encode(text or "")
        if not token_ids:
            raise VLLMValidationError("The decoder prompt cannot be empty", parameter="prompt")
        window = self.engine_args.max_model_len
        if window is not None and len(token_ids) >= window:
            raise VLLMValidationError(
                f"The decoder prompt (length {len(token_ids)}) is longer than the maximum model "
                f"length of {window}.",
                parameter="prompt",
            )
        if isinstance(params, SamplingParams) and "fake" in (params.extra_args or {}):
            behaviour = Behaviour.of((params.extra_args or {})["fake"])
        else:
            behaviour = self._script.find(text, token_ids)
        return EngineCoreRequest(
            request_id=f"{request_id}-{secrets.token_hex(4)}",
            external_req_id=request_id,
            prompt=text,
            prompt_token_ids=list(token_ids),
            params=params,
            behaviour=behaviour,
            lora_request=lora_request,
        )


def _given(**arguments: object) -> dict[str, object]:
    """What a caller gave, for the record: most arguments are None in most calls."""
    return {name: value for name, value in arguments.items() if value is not None}
