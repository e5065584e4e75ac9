"""The engine that clients reach: vLLM's AsyncLLM with a guard at its door.

It is a subclass of vLLM's: it tells the running call when a request is
admitted, and it keeps away from EngineCore what would end it and what no
annotation can express. Each override names what happens without it.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from python_worker.engines.guards.engine_death import mortal
from python_worker.engines.guards.logits_processors import check_logits_processors
from python_worker.engines.guards.lora import adapting
from python_worker.engines.guards.prompts import check_prompt, check_token_types
from python_worker.engines.guards.reasoning import check_reasoning, parser_class
from python_worker.engines.guards.weight_updates import FROM_WITHIN, updating
from python_worker.engines.guards.weights import check_arguments
from python_worker.engines.guards.worker_extension import checked_path
from python_worker.engines.guards.worker_methods import BEHIND, WORKER_METHODS, extension_methods
from python_worker.exceptions import InvalidArgument, Unsupported


def guarded(base: Any) -> Any:
    """A subclass that lets nothing through that would end EngineCore."""
    from vllm.reasoning import ReasoningParserManager
    from vllm.v1.engine import EngineCoreRequest
    from vllm.v1.sample.logits_processor import cached_load_custom_logitsprocs
    from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder

    base = updating(adapting(mortal(base)))
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
            raise InvalidArgument(
                f"EngineCore could not read this request: {error}",
                request_id=request.external_req_id or request.request_id,
            ) from error

    class Guarded(base):  # type: ignore[misc]
        @functools.wraps(base.__init__)  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            config = kwargs["vllm_config"] if "vllm_config" in kwargs else args[0]
            check_logits_processors(config, cached_load_custom_logitsprocs)
            path = config.parallel_config.worker_extension_cls
            config.parallel_config.worker_extension_cls = checked_path(path)
            self._worker_methods = WORKER_METHODS | extension_methods(path)
            super().__init__(*args, **kwargs)
            parser = parser_class(
                self.vllm_config.structured_outputs_config.reasoning_parser,
                ReasoningParserManager.get_reasoning_parser,
            )
            send = self.engine_core.add_request_async

            async def send_verified(request: Any) -> None:
                try:
                    # An update may have begun while the prompt was tokenized.
                    self._weights.check("add_request")
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
            check_token_types(params, self.model_config)
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
            if not FROM_WITHIN.get():
                self._check_worker_method(method)
            # vLLM's own timeout leaves the answer in the pipe, where the next
            # step of the engine takes it for its own. Ours leaves vLLM alone.
            call = functools.partial(base.collective_rpc, self, method, None, args, kwargs)
            followed = self._weights.followed.get(method)
            if followed is not None:
                check_arguments(method, args, kwargs)
            running = call() if followed is None else followed(self, call)
            try:
                return await asyncio.wait_for(running, timeout)
            except TimeoutError as error:  # Python's says nothing
                said = str(error) or f"collective_rpc: {method!r} did not end within {timeout} s"
                raise TimeoutError(said) from error

        def _check_worker_method(self, method: str) -> None:
            if method in BEHIND:
                raise InvalidArgument(
                    f"collective_rpc: {method!r} is called by AsyncLLM.{BEHIND[method]}; call that",
                    parameter="method",
                )
            if method not in self._worker_methods:
                raise InvalidArgument(
                    f"collective_rpc: {method!r} is not among the methods whose result can be "
                    f"sent; those are {', '.join(sorted(self._worker_methods))}",
                    parameter="method",
                )
            if method not in self._weights.followed and method != "check_health":
                self._weights.check("collective_rpc")

        @functools.wraps(base._run_output_handler)
        def _run_output_handler(self) -> None:
            # A dead engine would be listened to for ever.
            if self.output_handler is None and self.engine_core.resources.engine_dead:
                raise self.dead_error
            base._run_output_handler(self)

        @functools.wraps(base.scale_elastic_ep)
        async def scale_elastic_ep(
            self, new_data_parallel_size: int, drain_timeout: int = 300
        ) -> Any:
            try:
                return await base.scale_elastic_ep(self, new_data_parallel_size, drain_timeout)
            except NotImplementedError as error:  # it says nothing
                raise Unsupported(
                    "scale_elastic_ep needs an engine with data parallelism over Ray"
                ) from error

        @functools.wraps(base.handle_fault)
        async def handle_fault(self, *args: Any, **kwargs: Any) -> Any:
            raise Unsupported(
                "handle_fault needs an engine with fault tolerance; on any other it ends the "
                "thread in EngineCore that takes requests"
            )

    Guarded.__name__ = Guarded.__qualname__ = "AsyncLLM"
    return Guarded
