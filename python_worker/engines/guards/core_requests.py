"""What is sent to EngineCore: each request is checked last, when vLLM has made it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from python_worker.engines.guards.prompt_ends import PromptEnds
from python_worker.engines.guards.protocols import AsyncLLM, EngineCoreRequest, SamplingParams
from python_worker.engines.guards.reasoning import Parser, check_reasoning
from python_worker.engines.guards.structures import Structures
from python_worker.engines.guards.tensors import check_request_tensors
from python_worker.engines.guards.token_constraints import (
    TokenConstraints,
    constraints_of,
    may_forbid,
)
from python_worker.engines.guards.unsent_items import UnsentItems
from python_worker.engines.guards.watched_tokens import WatchedTokens
from python_worker.engines.guards.weights import Weights
from python_worker.exceptions import Cancelled
from python_worker.process import large_work

LONG = 20_000
"""Token ids in a request's constraints from which on they are read in a thread: 1 ms."""


class CoreRequests:
    """The requests of one engine.

    Args:
        engine: The engine.
        weights: The state of its weights.
        verify: Raises where EngineCore could not decode a request; returns what of this is to be
            done in a thread.
        parser: The engine's reasoning parser.
        structures: Knows the back end of its structured outputs.
        prompt_ends: Looks at the prompts of requests that are decoded.
        watched: Gets the requests whose tokens are looked at.
        unsent: Told of the images that are sent.
    """

    # Slots, because every request comes by here.
    __slots__ = (
        "_engine",
        "_forced",
        "_parser",
        "_prompt_ends",
        "_send",
        "_structures",
        "_unsent",
        "_verify",
        "_vocab_size",
        "_watched",
        "_weights",
    )

    def __init__(
        self,
        engine: AsyncLLM,
        weights: Weights,
        *,
        verify: Callable[[EngineCoreRequest], Callable[[], None] | None],
        parser: Parser | None,
        structures: Structures,
        prompt_ends: PromptEnds,
        watched: WatchedTokens,
        unsent: UnsentItems,
    ) -> None:
        self._engine = engine
        self._weights = weights
        self._verify = verify
        self._parser = parser
        self._structures = structures
        self._prompt_ends = prompt_ends
        self._watched = watched
        self._unsent = unsent
        self._vocab_size = engine.model_config.get_vocab_size()
        reasoning = engine.vllm_config.reasoning_config
        self._forced = None if reasoning is None else reasoning.reasoning_end_token_ids
        self._send = engine.engine_core.add_request_async

    async def send(self, request: EngineCoreRequest) -> None:
        """In place of the client's ``add_request_async``."""
        params = request.sampling_params
        structure = None if params is None else params.structured_outputs
        constraints = None
        waited = False
        try:
            # What may take a thread comes first: the rest holds until the request is sent.
            if request.prompt_embeds is not None or request.mm_features:
                await check_request_tensors(request, self._engine.model_config.dtype)
                waited = True
            if params is not None and may_forbid(params):
                constraints = await self._check_constraints(params)
                waited = True
            if structure is not None:
                await self._structures.check_backend(structure)
                waited = True
            rest = self._verify(request)
            if rest is not None:
                await large_work.run(large_work.VERY_LARGE, rest)
                waited = True
            elif not large_work.is_inline() and large_work.is_over(asyncio.get_running_loop()):
                # One request may have a thousand completions, each sent by itself.
                await asyncio.sleep(0)
                waited = True
            if waited:
                self._check_wanted(request)
            # An update may have begun while the prompt was tokenized, or since.
            self._weights.check("add_request")
            if request.reasoning_parser_kwargs:
                check_reasoning(request, self._parser, self._engine.tokenizer)
        except Exception:
            # Its outputs are awaited already, and would be for ever.
            self._engine.output_processor.abort_requests([request.request_id], internal=True)
            raise
        state = self._engine.output_processor.request_states.get(request.request_id)
        self._prompt_ends.begin(request, state)
        if constraints is not None or request.resumable:
            self._watched.add(request.request_id, constraints)
        if structure is not None:
            self._structures.settle(structure)
        await self._send(request)
        if request.mm_features:
            self._unsent.sent(request)

    def _check_wanted(self, request: EngineCoreRequest) -> None:
        """Refuse a request that was aborted meanwhile: EngineCore has been told, and forgot it."""
        if request.request_id not in self._engine.output_processor.request_states:
            raise Cancelled("the request was aborted")

    async def _check_constraints(self, params: SamplingParams) -> TokenConstraints | None:
        read = partial(constraints_of, params, self._vocab_size, self._forced)
        size = len(params.allowed_token_ids or ()) + len(params.logit_bias or ())
        constraints = read() if size <= LONG else await large_work.in_thread(read)
        if constraints is not None:
            constraints.check()
        return constraints
