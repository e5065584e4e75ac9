"""Streamed prompts: what a later element may not do to the request that it continues.

The elements of a streamed prompt are one request to vLLM: each continues where the one before
has ended. vLLM checks every element as if it stood alone, but two mistakes only show when they
are put together, and either ends the engine for every client:

- the elements and what was generated between them outgrow the model's window;
- an element asks for logprobs, or for a grammar, that the first did not.

So the window is counted here. Of the sampling parameters, those may change from element to
element that vLLM reads anew for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

from typing_extensions import override

from python_worker.engines.guards.protocols import (
    AsyncLLM,
    EngineCoreRequest,
    RequestOutputCollector,
    RequestState,
    SamplingParams,
)
from python_worker.exceptions import Cancelled, InvalidArgument

# All others are read once, at the first element.
MAY_CHANGE = frozenset(
    {
        "allowed_token_ids",
        "bad_words",
        "frequency_penalty",
        "ignore_eos",
        "logit_bias",
        "max_tokens",
        "min_p",
        "min_tokens",
        "presence_penalty",
        "repetition_penalty",
        "stop_token_ids",
        "temperature",
        "top_k",
        "top_p",
    }
)

# vLLM's own mark, which says nothing about sampling.
IRRELEVANT = frozenset({"skip_clone"})

# How soon, and at last how seldom, it is looked whether the elements so far are answered, where
# only that tells whether there is room for one more.
LOOK_SECONDS = 0.005
MAX_LOOK_SECONDS = 0.05


class StreamedRequest:
    """One request with a streamed prompt, so far.

    Args:
        params: The sampling parameters of its first element.
        window: How many tokens the model takes.
    """

    def __init__(self, params: SamplingParams, window: int) -> None:
        self._params = params
        self._window = window
        # Elements so far, and how many tokens they can become when all is generated.
        self._elements = 0
        self._tokens = 0

    def add(self, request: EngineCoreRequest) -> None:
        """Count an element."""
        self._elements += 1
        self._tokens += length(request) + (params_of(request).max_tokens or 0)

    def check_params(self, request: EngineCoreRequest) -> None:
        """Refuse an element that changes what vLLM reads only once.

        Raises:
            InvalidArgument: It names the parameter.
        """
        given = params_of(request)
        for name in type(self._params).__struct_fields__:
            if name[0] == "_" or name in MAY_CHANGE or name in IRRELEVANT:
                continue
            first, this = getattr(self._params, name), getattr(given, name)
            if first != this:
                parameter = f"{self._next_element}.sampling_params.{name}"
                raise InvalidArgument(
                    f"{parameter}: wants {first!r} as in the first element, got {this!r}",
                    parameter=parameter,
                )

    def has_room(self, request: EngineCoreRequest) -> bool:
        """Whether the element fits into the window, with at least one token for an answer."""
        return self._tokens + length(request) < self._window

    def recount(self, state: RequestState) -> None:
        """Count what was generated, where all elements so far are answered."""
        assert state.detokenizer is not None
        # The last token of each answer is not kept.
        kept = state.detokenizer.num_output_tokens() - self._elements
        self._tokens = state.prompt_len + kept

    def no_room(self, request: EngineCoreRequest) -> InvalidArgument:
        """The error for an element that does not fit."""
        return InvalidArgument(
            f"{self._next_element}: with {length(request)} tokens more than the {self._tokens} so "
            f"far, this request has no room for an answer in the model's {self._window}",
            parameter=self._next_element,
            tokens=self._tokens,
        )

    @property
    def _next_element(self) -> str:
        return f"prompt[{self._elements}]"


class StreamedPromptsGuard(AsyncLLM):
    """Lets only such elements through as can continue their request."""

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # By the collector of the request, which lives as long as the request.
        self._streamed: WeakKeyDictionary[RequestOutputCollector, StreamedRequest] = (
            WeakKeyDictionary()
        )
        super().__init__(*args, **kwargs)

    @override
    def _add_request(
        self,
        request: EngineCoreRequest,
        prompt: str | None,
        parent_req: object | None,
        index: int,
        queue: RequestOutputCollector,
    ) -> Coroutine[Any, Any, object]:
        # No coroutine of this guard's for ordinary requests, of which there are many.
        add = super()._add_request
        if request.resumable or self._streamed:
            return self._add_element(add, request, prompt, parent_req, index, queue)
        return add(request, prompt, parent_req, index, queue)

    async def _add_element(
        self,
        add: Callable[..., Coroutine[Any, Any, object]],
        request: EngineCoreRequest,
        prompt: str | None,
        parent_req: object | None,
        index: int,
        queue: RequestOutputCollector,
    ) -> object:
        streamed = self._streamed.get(queue)
        if request.resumable:
            keep_output_kind(request, queue)
            if streamed is None:
                window = self.model_config.max_model_len
                streamed = self._streamed[queue] = StreamedRequest(params_of(request), window)
            else:
                await self._check_element(streamed, request)
            streamed.add(request)
        elif streamed is not None and self._state_of(request) is None:
            # The end of a request that was aborted. vLLM would begin it anew.
            return None
        return await add(request, prompt, parent_req, index, queue)

    async def _check_element(self, streamed: StreamedRequest, request: EngineCoreRequest) -> None:
        state = self._state_of(request)
        if state is None:
            # vLLM would begin it anew with the element that comes late.
            raise Cancelled("the request was aborted")
        streamed.check_params(request)
        if streamed.has_room(request):
            return
        # There may be room all the same: what was generated can be less than what was allowed.
        await self._until_answered(request, state)
        streamed.recount(state)
        if not streamed.has_room(request):
            raise streamed.no_room(request)

    async def _until_answered(self, request: EngineCoreRequest, state: RequestState) -> None:
        """Wait until EngineCore has answered all elements so far, of which vLLM tells nobody."""
        pause = LOOK_SECONDS
        while state.input_chunk_queue is not None and self._state_of(request) is state:
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_LOOK_SECONDS)
        if self._state_of(request) is not state:
            raise Cancelled("the request was aborted")

    def _state_of(self, request: EngineCoreRequest) -> RequestState | None:
        return self.output_processor.request_states.get(request.request_id)


def keep_output_kind(request: EngineCoreRequest, queue: RequestOutputCollector) -> None:
    """Give an element the output kind of its call, whatever the element says.

    The collector was made for that kind: it puts items together, or replaces them.
    """
    params = params_of(request)
    kinds = type(params.output_kind)
    params.output_kind = kinds["DELTA" if queue.aggregate else "CUMULATIVE"]


def params_of(request: EngineCoreRequest) -> SamplingParams:
    """The sampling parameters of an element: vLLM takes no pooling request in parts."""
    assert request.sampling_params is not None
    return request.sampling_params


def length(request: EngineCoreRequest) -> int:
    """How many tokens an element has."""
    return len(request.prompt_token_ids or ())
