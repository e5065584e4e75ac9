"""What is sent to EngineCore: each request is checked last, when vLLM has made it."""

from __future__ import annotations

from collections.abc import Callable

from python_worker.engines.guards.protocols import AsyncLLM, EngineCoreRequest
from python_worker.engines.guards.reasoning import Parser, check_reasoning
from python_worker.engines.guards.tensors import check_request_tensors
from python_worker.engines.guards.weights import Weights
from python_worker.exceptions import InvalidArgument


class CoreRequests:
    """The requests of one engine.

    Args:
        engine: The engine.
        weights: The state of its weights.
        verify: Raises where EngineCore could not decode a request.
        parser: The engine's reasoning parser.
    """

    # Slots, because every request comes by here.
    __slots__ = ("_engine", "_parser", "_send", "_verify", "_weights")

    def __init__(
        self,
        engine: AsyncLLM,
        weights: Weights,
        *,
        verify: Callable[[EngineCoreRequest], None],
        parser: Parser | None,
    ) -> None:
        self._engine = engine
        self._weights = weights
        self._verify = verify
        self._parser = parser
        self._send = engine.engine_core.add_request_async

    async def send(self, request: EngineCoreRequest) -> None:
        """In place of the client's ``add_request_async``."""
        try:
            if request.prompt_embeds is not None or request.mm_features:
                await self._check_tensors(request)
            # An update may have begun while the prompt was tokenized.
            self._weights.check("add_request")
            self._verify(request)
            if request.reasoning_parser_kwargs:
                check_reasoning(request, self._parser, self._engine.tokenizer)
        except Exception:
            # Its outputs are awaited already, and would be for ever.
            self._engine.output_processor.abort_requests([request.request_id], internal=True)
            raise
        await self._send(request)

    async def _check_tensors(self, request: EngineCoreRequest) -> None:
        try:
            await check_request_tensors(request, self._engine.model_config.dtype)
        except InvalidArgument:
            # vLLM takes for sent what it has processed, and sends only its hash the next time.
            cache = self._engine.renderer.mm_processor_cache
            hashes = [it.mm_hash for it in request.mm_features or () if it.mm_hash is not None]
            if cache is not None:
                for mm_hash in hashes:
                    cache.invalidate(mm_hash)
            raise
