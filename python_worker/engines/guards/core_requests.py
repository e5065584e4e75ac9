"""What is sent to EngineCore: each request is checked last, when vLLM has made it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from python_worker.engines.guards.protocols import AsyncLLM, EngineCoreRequest
from python_worker.engines.guards.reasoning import Parser, check_reasoning
from python_worker.engines.guards.weights import Weights
from python_worker.exceptions import Cancelled
from python_worker.process import large_work


class CoreRequests:
    """The requests of one engine.

    Args:
        engine: The engine.
        weights: The state of its weights.
        verify: Raises where EngineCore could not decode a request; returns what of this is to be
            done in a thread.
        parser: The engine's reasoning parser.
    """

    # Slots, because every request comes by here.
    __slots__ = ("_engine", "_parser", "_send", "_verify", "_weights")

    def __init__(
        self,
        engine: AsyncLLM,
        weights: Weights,
        *,
        verify: Callable[[EngineCoreRequest], Callable[[], None] | None],
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
            # An update may have begun while the prompt was tokenized.
            self._weights.check("add_request")
            rest = self._verify(request)
            if rest is not None:
                await large_work.run(large_work.VERY_LARGE, rest)
                self._check_wanted(request)
            elif large_work.is_over(asyncio.get_running_loop()):
                # One request may have a thousand completions, each sent by itself.
                await asyncio.sleep(0)
                self._check_wanted(request)
            if request.reasoning_parser_kwargs:
                check_reasoning(request, self._parser, self._engine.tokenizer)
        except Exception:
            # Its outputs are awaited already, and would be for ever.
            self._engine.output_processor.abort_requests([request.request_id], internal=True)
            raise
        await self._send(request)

    def _check_wanted(self, request: EngineCoreRequest) -> None:
        """Refuse a request that was aborted meanwhile: EngineCore has been told, and forgot it."""
        if request.request_id not in self._engine.output_processor.request_states:
            raise Cancelled("the request was aborted")
