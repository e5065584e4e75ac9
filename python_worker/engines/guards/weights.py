"""Whether a model's weights are whole, and which calls may run while they are not.

Between ``start_weight_update`` and ``finish_weight_update`` the weights of a model are being
replaced, and on vLLM's side nothing knows of it: a request that is scheduled meanwhile ends
EngineCore. So requests are refused from the start of an update to its finish, and so is what would
let waiting requests run.

The state follows what vLLM answers, not what it was asked: a start that fails opens nothing,
``finish_weight_update`` always reaches vLLM, and whatever makes the weights whole again ends the
refusing.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from python_worker import core_errors
from python_worker.core_errors import Meaning
from python_worker.engines.core_calls import CoreCalls, Mortal
from python_worker.exceptions import Conflict, InvalidArgument

Step = Callable[[], Coroutine[Any, Any, object]]
"""A call of vLLM's, not made yet."""


class Engine(Mortal, Protocol):
    """An engine, as far as its requests and its death go."""

    def get_num_unfinished_requests(self) -> int:
        """How many requests have not ended."""

    async def is_paused(self) -> bool:
        """Whether they wait."""


class State(enum.Enum):
    """What is known of the weights."""

    WHOLE = "whole"
    #: Between start and finish of an update.
    OPEN = "open"
    #: Being loaded anew by ``reload_weights``.
    LOADING = "loading"
    #: Reset to zero, or an update or reload failed in the middle. vLLM takes
    #: it for ended then, while the weights are gone.
    BROKEN = "broken"


ADVICE = {
    State.OPEN: "a weight update is open: call finish_weight_update first",
    State.LOADING: "the weights are being reloaded: try again when that has ended",
    State.BROKEN: (
        "the weights are gone since an update or a reload failed, or they were reset: make an "
        "update from start_weight_update to finish_weight_update, or load them by "
        'collective_rpc("reload_weights", kwargs={"weights_path": ...})'
    ),
}


def _reload_weights(
    weights_iterator: object = None,
    weights_path: object = None,
    is_checkpoint_format: object = True,
) -> None:
    """As the workers' own, which cannot be imported without loading all of vLLM."""


def _reset_weights() -> None:
    """As the workers' own."""


SIGNATURES = {
    "reload_weights": inspect.signature(_reload_weights),
    "reset_weights": inspect.signature(_reset_weights),
}


def check_arguments(
    method: str, args: Sequence[object] | None, kwargs: Mapping[str, object] | None
) -> None:
    """Refuse arguments that a worker process would: its failure would count as a failed reload.

    Raises:
        InvalidArgument: The method of the workers has no such parameter, or not of this type.
    """
    try:
        bound = SIGNATURES[method].bind(*(args or ()), **(kwargs or {}))
    except TypeError as error:
        known = ", ".join(SIGNATURES[method].parameters) or "none"
        raise InvalidArgument(
            f"collective_rpc: {method}: {error}; its parameters are: {known}",
            parameter="kwargs" if kwargs else "args",
        ) from error
    path = bound.arguments.get("weights_path")
    if path is not None and not isinstance(path, str):
        raise InvalidArgument(
            f"collective_rpc: {method}: weights_path: wants a string or nothing, got {path!r}",
            parameter="weights_path",
        )


class Weights:
    """The state of one engine's weights.

    Its methods carry out a call of vLLM's and follow what comes of it. They go on to the end even
    where the caller leaves, because EngineCore does too.
    """

    def __init__(self) -> None:
        self.state = State.WHOLE
        #: Methods of the workers that change the weights, by name.
        self.followed = {"reload_weights": self.reload, "reset_weights": self.reset}
        self._calls = CoreCalls()

    def check(self, what: str) -> None:
        """Refuse what would run the model while its weights are not whole.

        Raises:
            Conflict: It says what to call first.
        """
        if self.state is not State.WHOLE:
            raise Conflict(f"{what}: {ADVICE[self.state]}", weights=self.state.value)

    async def start(self, engine: Engine, start: Step, method: str) -> None:
        """Open an update.

        Raises:
            Conflict: Requests are running, or an update is open already.
        """
        if self.state in (State.OPEN, State.LOADING):
            self.check(method)
        work = self._alone(engine, start, method, during=State.OPEN, done=State.OPEN)
        await self._calls.to_the_end(engine, work)

    async def update(self, engine: Engine, update: Step) -> None:
        """Send a part of the weights; one that fails ends the update in vLLM."""
        await self._calls.to_the_end(engine, self._follow(update, done=self.state))

    async def finish(self, engine: Engine, finish: Step) -> None:
        """Close the update. vLLM is asked whatever we think the state is."""
        await self._calls.to_the_end(engine, self._follow(finish, done=State.WHOLE))

    async def reload(self, engine: Engine, reload: Step) -> object:
        """Load all weights anew. It repairs them, and leaves an open update open.

        Raises:
            Conflict: Requests are running: where loading fails, as with a path
                that leads nowhere, their next step would end the engine.
        """
        if self.state is State.LOADING:
            self.check("reload_weights")
        during, done = (
            (State.OPEN, State.OPEN) if self.state is State.OPEN else (State.LOADING, State.WHOLE)
        )
        work = self._alone(engine, reload, "reload_weights", during=during, done=done)
        return await self._calls.to_the_end(engine, work)

    async def reset(self, engine: Engine, reset: Step) -> object:
        """Set all weights to zero, which makes sense before others are loaded.

        Raises:
            Conflict: Requests are running, or an update is open.
        """
        if self.state in (State.OPEN, State.LOADING):
            self.check("reset_weights")
        work = self._alone(engine, reset, "reset_weights", during=State.LOADING, done=State.BROKEN)
        return await self._calls.to_the_end(engine, work)

    def _alone(
        self, engine: Engine, step: Step, method: str, *, during: State, done: State
    ) -> Coroutine[Any, Any, object]:
        """Take a step while no request runs, and let none in from now on."""
        before, self.state = self.state, during
        return self._step_alone(engine, step, method, before=before, done=done)

    async def _step_alone(
        self, engine: Engine, step: Step, method: str, *, before: State, done: State
    ) -> object:
        try:
            running = engine.get_num_unfinished_requests()
            if running and not await engine.is_paused():
                raise Conflict(
                    f"{method}: {running} requests are running: call pause_generation first, "
                    'with mode "keep" to let them go on afterwards',
                    unfinished_requests=running,
                )
        except BaseException:
            self.state = before
            raise
        try:
            result = await step()
        except BaseException as error:
            # A start that fails opens nothing; a reload that fails leaves nothing.
            is_refusal = core_errors.means(error, Meaning.RELOAD_REFUSED)
            self.state = before if done is State.OPEN or is_refusal else State.BROKEN
            raise
        self.state = done
        return result

    async def _follow(self, step: Step, *, done: State) -> object:
        try:
            result = await step()
        except Exception:
            if self.state is State.OPEN:
                self.state = State.BROKEN
            raise
        self.state = done
        return result
