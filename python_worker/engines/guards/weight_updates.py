"""Keeps requests and weight updates apart; ``weights`` is the state that decides."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from typing_extensions import override

from python_worker.engines.guards.protocols import AsyncLLM
from python_worker.engines.guards.weights import Weights, check_arguments

Params = ParamSpec("Params")
Result = TypeVar("Result")

FROM_WITHIN: ContextVar[bool] = ContextVar("from_within", default=False)
"""Whether it is vLLM that calls ``collective_rpc``, in a method that is guarded itself."""


class WeightUpdatesGuard(AsyncLLM):
    """Follows weight updates, and refuses what would run requests during one."""

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._weights = Weights()
        super().__init__(*args, **kwargs)

    # --- Updates ---

    @override
    async def init_weight_transfer_engine(self, request: object) -> None:
        await within(super().init_weight_transfer_engine, request)()

    @override
    async def shutdown_weight_transfer_engine(self) -> None:
        await within(super().shutdown_weight_transfer_engine)()

    @override
    async def start_weight_update(self) -> None:
        start = within(super().start_weight_update)
        await self._weights.start(self, start, "start_weight_update")

    @override
    async def start_draft_weight_update(self) -> None:
        start = within(super().start_draft_weight_update)
        await self._weights.start(self, start, "start_draft_weight_update")

    @override
    async def update_weights(self, request: object) -> None:
        await self._weights.update(self, within(super().update_weights, request))

    @override
    async def finish_weight_update(self, weight_version: str | None = None) -> None:
        await self._weights.finish(self, within(super().finish_weight_update, weight_version))

    @override
    async def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        call = functools.partial(super().collective_rpc, method, timeout, args, kwargs)
        followed = self._weights.followed.get(method)
        if followed is not None:
            check_arguments(method, args, kwargs)
            return await followed(self, call)
        if method != "check_health" and not FROM_WITHIN.get():
            self._weights.check("collective_rpc")
        return await call()

    # --- What would let requests run that a pause keeps waiting ---

    @override
    async def resume_generation(self) -> None:
        self._weights.check("resume_generation")
        await super().resume_generation()

    @override
    async def wake_up(self, tags: list[str] | None = None) -> bool:
        self._weights.check("wake_up")
        return await super().wake_up(tags)

    @override
    async def pause_generation(self, *, mode: str = "abort", clear_cache: bool = True) -> None:
        if mode == "wait":
            self._weights.check("pause_generation")
        await super().pause_generation(mode=mode, clear_cache=clear_cache)

    @override
    async def sleep(self, level: int = 1, mode: str = "abort") -> None:
        if mode == "wait":
            self._weights.check("sleep")
        await super().sleep(level, mode)


def within(
    method: Callable[Params, Coroutine[Any, Any, Result]],
    *args: Params.args,
    **kwargs: Params.kwargs,
) -> Callable[[], Coroutine[Any, Any, Result]]:
    """A method of vLLM's, not called yet, that may call every method of the workers."""

    async def call() -> Result:
        token = FROM_WITHIN.set(True)
        try:
            return await method(*args, **kwargs)
        finally:
            FROM_WITHIN.reset(token)

    return call
