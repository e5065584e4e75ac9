"""The part of the guard that keeps requests and weight updates apart; see ``weights``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from python_worker.engines.guards.weights import Weights

FROM_WITHIN: ContextVar[bool] = ContextVar("from_within", default=False)
"""Whether it is vLLM that calls ``collective_rpc``, in a method that is guarded itself."""


def updating(base: Any) -> Any:
    """A subclass that follows weight updates and refuses what would run into one."""

    class Updating(base):  # type: ignore[misc]
        @functools.wraps(base.__init__)  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._weights = Weights()
            super().__init__(*args, **kwargs)

        # --- Updates ---

        @functools.wraps(base.init_weight_transfer_engine)
        async def init_weight_transfer_engine(self, request: Any) -> None:
            await within(base.init_weight_transfer_engine, self, request)()

        @functools.wraps(base.shutdown_weight_transfer_engine)
        async def shutdown_weight_transfer_engine(self) -> None:
            await within(base.shutdown_weight_transfer_engine, self)()

        @functools.wraps(base.start_weight_update)
        async def start_weight_update(self) -> None:
            start = within(base.start_weight_update, self)
            await self._weights.start(self, start, "start_weight_update")

        @functools.wraps(base.start_draft_weight_update)
        async def start_draft_weight_update(self) -> None:
            start = within(base.start_draft_weight_update, self)
            await self._weights.start(self, start, "start_draft_weight_update")

        @functools.wraps(base.update_weights)
        async def update_weights(self, request: Any) -> None:
            await self._weights.update(self, within(base.update_weights, self, request))

        @functools.wraps(base.finish_weight_update)
        async def finish_weight_update(self, weight_version: str | None = None) -> None:
            finish = within(base.finish_weight_update, self, weight_version)
            await self._weights.finish(self, finish)

        # --- What would let requests run that a pause has kept ---

        @functools.wraps(base.resume_generation)
        async def resume_generation(self) -> None:
            self._weights.check("resume_generation")
            await base.resume_generation(self)

        @functools.wraps(base.wake_up)
        async def wake_up(self, tags: list[str] | None = None) -> Any:
            self._weights.check("wake_up")
            return await base.wake_up(self, tags)

        @functools.wraps(base.pause_generation)
        async def pause_generation(self, *, mode: Any = "abort", clear_cache: bool = True) -> None:
            if mode == "wait":
                self._weights.check("pause_generation")
            await base.pause_generation(self, mode=mode, clear_cache=clear_cache)

        @functools.wraps(base.sleep)
        async def sleep(self, level: int = 1, mode: Any = "abort") -> None:
            if mode == "wait":
                self._weights.check("sleep")
            await base.sleep(self, level, mode)

    return Updating


def within(method: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """A method of vLLM's, not called yet, that may call every method of the workers."""

    async def call() -> Any:
        token = FROM_WITHIN.set(True)
        try:
            return await method(*args)
        finally:
            FROM_WITHIN.reset(token)

    return call
