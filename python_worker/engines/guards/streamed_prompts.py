"""Streamed input: what a later element may not do to the request it continues.

The elements of a streamed input are one request to vLLM: each continues where
the one before has ended. vLLM checks every element as if it stood alone, but
two things only show when they are put together, and either ends the engine for
every client:

- the elements and what was generated between them outgrow the model's window;
- an element asks for logprobs, or for a grammar, that the first did not.

So the window is counted here, and of the sampling parameters those may change
from element to element that vLLM reads anew for each.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from typing import Any
from weakref import WeakKeyDictionary

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

# How soon a request is looked at whose last element has to be answered before it
# is known whether there is room for one more, and how seldom when that takes long.
LOOK_SECONDS = 0.005
MAX_LOOK_SECONDS = 0.05


@dataclasses.dataclass
class Continued:
    """One request so far.

    Attributes:
        params: The sampling parameters of its first element.
        elements: How many it has had.
        tokens: How many tokens it can have at most, when all is generated.
    """

    params: Any
    elements: int = 0
    tokens: int = 0


def continuing(base: Any) -> Any:
    """A subclass that lets only such elements through as can continue their request."""
    # By the collector of the request, which lives as long as the request.
    requests: WeakKeyDictionary[Any, Continued] = WeakKeyDictionary()

    class Continuing(base):  # type: ignore[misc]
        @functools.wraps(base._add_request)
        async def _add_request(
            self, request: Any, prompt: Any, parent_req: Any, index: int, queue: Any
        ) -> Any:
            continued = requests.get(queue)
            if request.resumable:
                # The call's, whatever the element says: its collector puts items
                # together, or replaces them, by that one.
                kinds = type(request.sampling_params.output_kind)
                kind = kinds["DELTA" if queue.aggregate else "CUMULATIVE"]
                request.sampling_params.output_kind = kind
            if continued is not None:
                state = self.output_processor.request_states.get(request.request_id)
                if state is None:
                    # It was aborted. vLLM would begin it anew with what comes late.
                    if request.resumable:
                        raise Cancelled("the request was aborted")
                    return None
                if request.resumable:
                    await _check(continued, request, state, self)
            elif request.resumable:
                continued = requests[queue] = Continued(request.sampling_params)
            if continued is not None and request.resumable:
                continued.elements += 1
                continued.tokens += _length(request) + request.sampling_params.max_tokens
            return await base._add_request(self, request, prompt, parent_req, index, queue)

    Continuing.__name__ = Continuing.__qualname__ = "AsyncLLM"
    return Continuing


async def _check(continued: Continued, request: Any, state: Any, engine: Any) -> None:
    where = f"prompt[{continued.elements}]"
    for name in type(continued.params).__struct_fields__:
        if name[0] == "_" or name in MAY_CHANGE | IRRELEVANT:
            continue
        first, this = getattr(continued.params, name), getattr(request.sampling_params, name)
        if first != this:
            raise InvalidArgument(
                f"{where}.sampling_params.{name}: wants {first!r} as in the first element, "
                f"got {this!r}",
                parameter=f"{where}.sampling_params.{name}",
            )
    window = engine.model_config.max_model_len
    if continued.tokens + _length(request) < window:
        return
    # There may be room all the same: what was generated can be less than what
    # was allowed. That is known when everything before is answered.
    states = engine.output_processor.request_states
    pause = LOOK_SECONDS
    # vLLM tells nobody.
    while state.input_chunk_queue is not None and states.get(request.request_id) is state:
        await asyncio.sleep(pause)
        pause = min(2 * pause, MAX_LOOK_SECONDS)
    if states.get(request.request_id) is not state:
        raise Cancelled("the request was aborted")
    # The last token of each answer is not kept.
    kept = state.detokenizer.num_output_tokens() - continued.elements
    continued.tokens = state.prompt_len + kept
    if continued.tokens + _length(request) >= window:
        raise InvalidArgument(
            f"{where}: with {_length(request)} tokens more than the {continued.tokens} so far, "
            f"this request has no room for an answer in the model's {window}",
            parameter=where,
            tokens=continued.tokens,
        )


def _length(request: Any) -> int:
    return len(request.prompt_token_ids or ())
