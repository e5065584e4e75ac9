"""Keeps away from EngineCore what would end it and what no annotation can express.

Each override names what happens without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from python_worker.engines.guards import vllm_parts
from python_worker.engines.guards.core_requests import CoreRequests
from python_worker.engines.guards.logits_processors import check_logits_processors
from python_worker.engines.guards.parameter_names import ParameterNames
from python_worker.engines.guards.prompts import check_prompt, check_token_types
from python_worker.engines.guards.protocols import (
    AsyncLLM,
    LoRARequest,
    RequestOutputCollector,
    VllmConfig,
)
from python_worker.engines.guards.reasoning import parser_class
from python_worker.engines.guards.structures import Structures
from python_worker.engines.guards.tensors import check_prompt_tensors
from python_worker.engines.guards.unsent_items import UnsentItems
from python_worker.engines.guards.watched_tokens import WatchedTokens
from python_worker.engines.guards.weight_updates import FROM_WITHIN
from python_worker.engines.guards.weights import Weights
from python_worker.engines.guards.worker_extension import checked_path
from python_worker.engines.guards.worker_methods import BEHIND, WORKER_METHODS, extension_methods
from python_worker.exceptions import InvalidArgument, Unsupported


class AsyncLLMGuard(AsyncLLM):
    """Checks an engine's configuration, its requests, and the calls of its worker processes."""

    # Of ``WeightUpdatesGuard``, which comes after this one.
    _weights: Weights

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config: VllmConfig = kwargs["vllm_config"] if "vllm_config" in kwargs else args[0]
        check_logits_processors(config, vllm_parts.load_logits_processors)
        path = config.parallel_config.worker_extension_cls
        config.parallel_config.worker_extension_cls = checked_path(path)
        self._worker_methods = WORKER_METHODS | extension_methods(path)
        super().__init__(*args, **kwargs)
        parser = parser_class(
            self.vllm_config.structured_outputs_config.reasoning_parser,
            vllm_parts.find_reasoning_parser,
        )
        structures = Structures(
            self.vllm_config.structured_outputs_config,
            vllm_parts.structure_backends(self.tokenizer),
            self.input_processor._validate_params,
        )
        # The outermost: it adds to the words of an error, which ``structures`` compares.
        self.input_processor._validate_params = ParameterNames(structures.validate).validate
        self._watched = WatchedTokens(self)
        requests = CoreRequests(
            self,
            self._weights,
            verify=vllm_parts.request_verifier(),
            parser=parser,
            structures=structures,
            prompt_ends=vllm_parts.prompt_ends(),
            watched=self._watched,
            unsent=UnsentItems(vllm_parts.cache_of_names(self)),
        )
        self.engine_core.add_request_async = requests.send
        self.engine_core.get_output_async = self._watched.get

    @override
    async def add_request(
        self,
        request_id: str,
        prompt: object,
        params: object,
        arrival_time: float | None = None,
        lora_request: LoRARequest | None = None,
        tokenization_kwargs: Mapping[str, Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> RequestOutputCollector:
        check_prompt(prompt, tokenization_kwargs, self.model_config)
        check_token_types(params, self.model_config)
        await check_prompt_tensors(prompt, self.model_config.dtype)
        return await super().add_request(
            request_id,
            prompt,
            params,
            arrival_time,
            lora_request,
            tokenization_kwargs,
            *args,
            **kwargs,
        )

    @override
    async def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        if not FROM_WITHIN.get():
            self._check_worker_method(method)
        # vLLM's own timeout leaves the answer in the pipe, where the next step of the engine takes
        # it for its own. This one leaves vLLM alone.
        call = super().collective_rpc(method, None, args, kwargs)
        try:
            return await asyncio.wait_for(call, timeout)
        except TimeoutError as error:  # Python's has no message
            message = str(error) or f"collective_rpc: {method!r} did not end within {timeout} s"
            raise TimeoutError(message) from error

    def _check_worker_method(self, method: str) -> None:
        if method in BEHIND:
            raise InvalidArgument(
                f"collective_rpc: {method!r} is called by {type(self).__name__}.{BEHIND[method]}; "
                "call that",
                parameter="method",
            )
        if method not in self._worker_methods:
            raise InvalidArgument(
                f"collective_rpc: {method!r} is not among the methods whose result can be sent; "
                f"those are {', '.join(sorted(self._worker_methods))}",
                parameter="method",
            )

    @override
    def _run_output_handler(self) -> None:
        # A dead engine would be listened to for ever.
        if self.output_handler is None and self.engine_core.resources.engine_dead:
            raise self.dead_error
        super()._run_output_handler()

    @override
    async def scale_elastic_ep(self, new_data_parallel_size: int, drain_timeout: int = 300) -> None:
        try:
            await super().scale_elastic_ep(new_data_parallel_size, drain_timeout)
        except NotImplementedError as error:  # it has no message
            raise Unsupported(
                "scale_elastic_ep needs an engine with data parallelism over Ray"
            ) from error

    @override
    async def handle_fault(self, fault_tolerance_request: object) -> object:
        raise Unsupported(
            "handle_fault needs an engine with fault tolerance; on any other it ends the thread "
            "in EngineCore that takes requests"
        )
