"""What EngineCore and the output processor are to vLLM: steps requests, ends them, dies.

One task, the output handler, steps all requests together. A step takes no time of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import replace

from python_worker.testing.fake_engine.requests import (
    EngineCoreRequest,
    Parent,
    RequestOutputCollector,
    State,
)
from python_worker.testing.fake_vllm.errors import EngineDeadError, make_error
from python_worker.testing.fake_vllm.tokenizer import FakeTokenizer


class FakeCore:
    """The requests that an engine has taken.

    Args:
        on_change: Called when a request comes or goes.
        on_abort: Called with the caller's id of a request that is aborted.

    Attributes:
        tokenizer: Knows the text of tokens.
        dead: Whether it died.
        paused: While true no tokens are made.
        outputs_handled: How many tokens were made in all.
    """

    def __init__(self, *, on_change: Callable[[], None], on_abort: Callable[[str], None]) -> None:
        self.tokenizer = FakeTokenizer()
        self.dead = False
        self.paused = False
        self.outputs_handled = 0
        self._on_change = on_change
        self._on_abort = on_abort
        self._states: dict[str, State] = {}
        # The completions of each parent.
        self._children: dict[str, list[State]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handler: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._states)

    def start(self) -> None:
        """Starts the output handler, once, on the loop of the first request."""
        if self._handler is None:
            self._loop = asyncio.get_running_loop()
            self._handler = self._loop.create_task(self._handle_outputs())

    def stop_threadsafe(self) -> None:
        """Aborts everything and ends the output handler, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop)

    def wake(self) -> None:
        """Has the output handler look again."""
        self._wake.set()

    def register(
        self,
        request: EngineCoreRequest,
        parent: Parent | None,
        index: int,
        queue: RequestOutputCollector,
    ) -> None:
        """Knows a request from now on; it begins when it is sent."""
        state = State(request, index=index, parent=parent, queue=queue, tokenizer=self.tokenizer)
        state.due = math.inf
        self._states[request.request_id] = state
        if parent is not None:
            self._children.setdefault(parent.request_id, []).append(state)
        self._on_change()

    async def send(self, request: EngineCoreRequest) -> None:
        """Begins a request."""
        if request.behaviour.hang_in == "adding":
            await asyncio.get_running_loop().create_future()
        if state := self._states.get(request.request_id):
            state.schedule(time.monotonic())
            self.wake()

    def abort(self, request_id: str, *, internal: bool) -> None:
        """Ends every request of this id with a last output."""
        for state in self._find(request_id, internal=internal):
            self._abort(state)

    def abort_all(self) -> None:
        """Ends every request with a last output."""
        for state in list(self._states.values()):
            self._abort(state)

    def release(self) -> int:
        """Lets requests go on that are held, or would be later; returns how many there were."""
        held = [state for state in self._states.values() if state.behaviour.hold]
        for state in held:
            state.behaviour = replace(state.behaviour, hold=False)
            if state.due == math.inf and state.made >= state.behaviour.after:
                state.schedule(time.monotonic())
        self.wake()
        return len(held)

    def die(self) -> None:
        """Fails every request, now and from now on."""
        self.dead = True
        for state in list(self._states.values()):
            self._remove(state)
            state.queue.put(EngineDeadError())

    def _find(self, request_id: str, *, internal: bool) -> list[State]:
        if internal and request_id in self._states:
            return [self._states[request_id]]
        if internal:
            return list(self._children.get(request_id, ()))
        states = self._states.values()
        return [state for state in states if state.request.external_req_id == request_id]

    def _remove(self, state: State) -> None:
        self._states.pop(state.request.request_id, None)
        if (family := self._children.get(state.parent_id or "")) is not None:
            if state in family:
                family.remove(state)
            if not family:
                del self._children[state.parent_id or ""]
        self._on_change()

    def _abort(self, state: State) -> None:
        self._on_abort(state.request.external_req_id)
        self._remove(state)
        state.abort()

    async def _handle_outputs(self) -> None:
        """Steps every request that is due, like an engine whose steps take no time."""
        while True:
            self._wake.clear()
            now = time.monotonic()
            soonest = math.inf
            if not self.paused:
                for state in list(self._states.values()):
                    due = state.due if state.due > now else self._advance(state, now)
                    soonest = min(soonest, due)
            if soonest <= now:
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(asyncio.TimeoutError):
                patience = None if soonest == math.inf else soonest - now
                await asyncio.wait_for(self._wake.wait(), patience)

    def _advance(self, state: State, now: float) -> float:
        """Makes the next token of a request that is due; returns when to look again."""
        behaviour = state.behaviour
        if behaviour.interrupts and state.made >= behaviour.after:
            if behaviour.die:
                self.die()
            elif behaviour.hang or behaviour.hold:
                state.due = math.inf
            elif state.queue.taken:
                # Not before: vLLM would put the error in place of what was not taken.
                self._remove(state)
                state.queue.put(make_error(behaviour.fail or ()))
            return math.inf
        if behaviour.paced and not state.queue.taken:
            return math.inf
        self.outputs_handled += 1
        if state.step():
            self._remove(state)
            return math.inf
        state.schedule(now)
        return state.due

    def _stop(self) -> None:
        self.abort_all()
        if self._handler is not None:
            self._handler.cancel()
