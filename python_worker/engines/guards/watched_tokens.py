"""Ends a request whose parameters have left it no token; see ``token_constraints``.

What EngineCore sends is looked at before vLLM gets it. Only requests that forbid something are
looked up; while there are none, a step costs one more call.
"""

from __future__ import annotations

from collections import deque

from python_worker.engines.guards.protocols import (
    AsyncLLM,
    EngineCoreOutput,
    EngineCoreOutputs,
    RequestState,
)
from python_worker.engines.guards.token_constraints import TokenConstraints
from python_worker.exceptions import NoTokenLeft

MANY = 64
"""Watched requests from which on those that have ended are looked for."""

ERROR = "error"
"""The finish reason of a request that EngineCore could not go on with."""


class WatchedRequest:
    """The output of one request so far.

    Args:
        state: vLLM's state of it.

    Attributes:
        state: The same.
        elements: The constraints of each element of its prompt that is not answered yet, the
            present one first; None for one that forbids nothing. There is one, unless the prompt
            is a stream.
    """

    __slots__ = ("_output", "elements", "state")

    def __init__(self, state: RequestState) -> None:
        self.state = state
        self.elements: deque[TokenConstraints | None] = deque()
        self._output: list[int] = []

    def take(self, output: EngineCoreOutput) -> NoTokenLeft | None:
        """Look at what a step has made; returns why the request ends, if it does."""
        constraints = self.elements[0] if self.elements else None
        if constraints is not None:
            for token in output.new_token_ids:
                if constraints.is_forbidden(token, self._output):
                    return constraints.end_at(len(self._output))
                self._output.append(token)
            if self._is_rejected(output, constraints):
                return constraints.end_at(len(self._output) - 1)
            if self._is_not_compiled(output, constraints):
                return constraints.not_compiled()
        if output.finish_reason is not None and self.elements:
            self.elements.popleft()
            self._output.clear()
        return None

    @staticmethod
    def _is_rejected(output: EngineCoreOutput, constraints: TokenConstraints) -> bool:
        """Whether EngineCore says that the last token does not continue the structure."""
        return bool(
            constraints.has_structure
            and output.new_token_ids
            and output.finish_reason is not None
            and str(output.finish_reason) == ERROR
        )

    def _is_not_compiled(self, output: EngineCoreOutput, constraints: TokenConstraints) -> bool:
        """Whether EngineCore has ended the request without a token: it cannot compile it."""
        return bool(
            constraints.has_structure
            and not self._output
            and not output.new_token_ids
            and not output.mm_cache_miss_hashes
            and output.finish_reason is not None
            and str(output.finish_reason) == ERROR
        )


class WatchedTokens:
    """The requests of one engine whose tokens are looked at.

    Args:
        engine: The engine.

    Attributes:
        unheard: Why requests have ended that have no queue: a step of an ``LLM`` raises it.
    """

    def __init__(self, engine: AsyncLLM) -> None:
        self.unheard: list[NoTokenLeft] = []
        self._engine = engine
        self._receive = engine.engine_core.get_output_async
        # By the request's id. vLLM tells nobody that a request has ended, so those that have are
        # looked for when there are many.
        self._watched: dict[str, WatchedRequest] = {}
        self._many = MANY

    def add(self, request_id: str, constraints: TokenConstraints | None) -> None:
        """Watch a request, or the next element of a streamed prompt.

        Args:
            request_id: vLLM's own; the request may have ended.
            constraints: None for an element that forbids nothing.
        """
        state = self._engine.output_processor.request_states.get(request_id)
        if state is None:
            return
        watched = self._watched.get(request_id)
        if watched is None or watched.state is not state:
            if len(self._watched) >= self._many:
                self._forget_ended()
            watched = self._watched[request_id] = WatchedRequest(state)
        watched.elements.append(constraints)

    def _forget_ended(self) -> None:
        states = self._engine.output_processor.request_states
        self._watched = {
            name: it for name, it in self._watched.items() if states.get(name) is it.state
        }
        self._many = max(MANY, 2 * len(self._watched))

    async def get(self) -> EngineCoreOutputs:
        """In place of the client's ``get_output_async``: called once for each step."""
        outputs = await self._receive()
        if self._watched:
            await self._look_at(outputs)
        return outputs

    async def _look_at(self, outputs: EngineCoreOutputs) -> None:
        states = self._engine.output_processor.request_states
        ended: dict[str, RequestState] = {}
        for output in outputs.outputs:
            watched = self._watched.get(output.request_id)
            if watched is None:
                continue
            state = watched.state
            if states.get(output.request_id) is not state:
                del self._watched[output.request_id]
                continue
            error = watched.take(output)
            if error is not None:
                ended[output.request_id] = state
                if state.queue is not None:
                    state.queue.put(error)
                else:
                    self.unheard.append(error)
            if not watched.elements and not state.streaming_input:
                del self._watched[output.request_id]
        if ended:
            outputs.outputs = [it for it in outputs.outputs if it.request_id not in ended]
            parents = (it.parent_req for it in ended.values())
            ids = [
                request if parent is None else parent.request_id
                for request, parent in zip(ended, parents, strict=True)
            ]
            await self._engine.abort(ids, internal=True)
