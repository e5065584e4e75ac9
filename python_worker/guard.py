"""The engine that clients reach: vLLM's AsyncLLM with a guard at its door.

It is a subclass of vLLM's: it tells the running call when a request is
admitted, and it keeps away from EngineCore what would end it and what no
annotation can express. Each override names what happens without it.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from python_worker.failures import Refused, Unsupported
from python_worker.prompts import check_prompt
from python_worker.reasoning import check_reasoning, parser_class
from python_worker.stream import ADMISSION

# Methods of the worker processes that answer with something msgpack can carry.
# The result of any other ends the thread in EngineCore that sends results.
WORKER_METHODS = frozenset(
    {
        "add_lora",
        "check_health",
        "checkpoint_prepare",
        "checkpoint_restore",
        "compute_weight_checksums",
        "determine_available_memory",
        "execute_dummy_batch",
        "get_compilation_match_table",
        "get_encoder_timing_stats",
        "get_model_inspection",
        "get_supported_kv_cache_layouts",
        "get_supported_tasks",
        "list_loras",
        "pin_lora",
        "reload_weights",
        "remove_lora",
        "reset_encoder_cache",
        "reset_mm_cache",
        "reset_weights",
        "save_sharded_state",
        "supports_draft_weight_updates",
        "synchronize_device",
        "update_config",
        "update_max_model_len",
    }
)


def admitting(base: Any) -> Any:
    """A subclass that tells the running call about its request's admission."""

    class Admitting(base):  # type: ignore[misc]
        @functools.wraps(base.add_request)
        async def add_request(self, *args: Any, **kwargs: Any) -> Any:
            collector = await base.add_request(self, *args, **kwargs)
            admission = ADMISSION.get()
            if admission is not None:
                admission.note(collector.request_id)
                admission.accept()
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


def guarded(base: Any) -> Any:
    """A subclass that lets nothing through that would end EngineCore."""
    from vllm.reasoning import ReasoningParserManager
    from vllm.v1.engine import EngineCoreRequest
    from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder

    encoder = MsgpackEncoder()
    decoder = MsgpackDecoder(EngineCoreRequest)

    def verify(request: Any) -> None:
        """Decode the request as EngineCore will: an error there is fatal.

        It costs 23 µs a request and catches what the annotations allow and
        the wire does not, such as a set inside ``extra_args``.
        """
        try:
            decoder.decode(encoder.encode(request))
        except Exception as error:
            raise Refused(
                f"EngineCore could not read this request: {error}",
                request_id=request.external_req_id or request.request_id,
            ) from error

    class Guarded(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            parser = parser_class(
                self.vllm_config.structured_outputs_config.reasoning_parser,
                ReasoningParserManager.get_reasoning_parser,
            )
            send = self.engine_core.add_request_async

            async def send_verified(request: Any) -> None:
                try:
                    verify(request)
                    check_reasoning(request, parser, self.tokenizer)
                except Exception:
                    # Its outputs are awaited already, and would be for ever.
                    self.output_processor.abort_requests([request.request_id], internal=True)
                    raise
                await send(request)

            self.engine_core.add_request_async = send_verified

        @functools.wraps(base.add_request)
        async def add_request(
            self,
            request_id: str,
            prompt: Any,
            params: Any,
            arrival_time: float | None = None,
            lora_request: Any = None,
            tokenization_kwargs: Any = None,
            *args: Any,
            **kwargs: Any,
        ) -> Any:
            check_prompt(prompt, tokenization_kwargs, self.model_config)
            if lora_request is not None:
                # A request with an adapter that does not load ends the engine;
                # add_lora with the same adapter only raises.
                await self.add_lora(lora_request)
            given = (request_id, prompt, params, arrival_time, lora_request, tokenization_kwargs)
            return await base.add_request(self, *given, *args, **kwargs)

        @functools.wraps(base.collective_rpc)
        async def collective_rpc(
            self,
            method: str,
            timeout: float | None = None,  # noqa: ASYNC109 - vLLM's own parameter
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> Any:
            if method not in WORKER_METHODS:
                raise Refused(
                    f"collective_rpc: {method!r} is not among the methods whose result can be "
                    f"sent; those are {', '.join(sorted(WORKER_METHODS))}",
                    parameter="method",
                )
            # vLLM's own timeout leaves the answer in the pipe, where the next
            # step of the engine takes it for its own. Ours leaves vLLM alone.
            call = base.collective_rpc(self, method, None, args, kwargs)
            return await asyncio.wait_for(call, timeout)

        @functools.wraps(base.handle_fault)
        async def handle_fault(self, *args: Any, **kwargs: Any) -> Any:
            raise Unsupported(
                "handle_fault needs an engine with fault tolerance; on any other it ends the "
                "thread in EngineCore that takes requests"
            )

    Guarded.__name__ = Guarded.__qualname__ = "AsyncLLM"
    return Guarded
