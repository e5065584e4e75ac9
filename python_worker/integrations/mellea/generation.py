"""One request of the engine.

A request ends when its task is cancelled: vLLM's ``generate`` aborts it, except while it is being
added; then its ids in the engine are known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any, Protocol

from python_worker.engines.builder import abort as abort_in_engine
from python_worker.streaming.admission import ADMISSION, Admission
from python_worker.validation import signatures

Abort = Callable[[Any, Iterable[str]], Awaitable[None]]


class Engine(Protocol):
    """What a backend uses of an engine."""

    @property
    def errored(self) -> bool:
        """Whether it has died."""

    @property
    def dead_error(self) -> BaseException:
        """Why it is dead."""

    def generate(
        self, prompt: Any, sampling_params: Any, request_id: str
    ) -> AsyncGenerator[Any, None]:
        """The outputs of a request."""

    def get_tokenizer(self) -> Any:
        """The tokenizer, or something that gives it when awaited."""


class Unfinished(Protocol):
    """A text that is being made."""

    async def cancel_generation(self, error: Exception | None = None) -> None:
        """Ends the request that makes it."""


STARTED: ContextVar[list[Unfinished] | None] = ContextVar("started", default=None)
"""The texts that the current call has begun to make, where it ends them all when it is over."""


def outputs(
    engine: Engine, prompt: Any, parameters: dict[str, Any], request_id: str
) -> AsyncGenerator[Any, None]:
    """The outputs of a request, with the checks that a client's call of ``generate`` has.

    Args:
        engine: The engine.
        prompt: A text, tokens, or what vLLM's renderer has made.
        parameters: The fields of the request's ``SamplingParams``.
        request_id: Names the request.

    Raises:
        InvalidArgument: A parameter is wrong.
    """
    check = signatures.signature_of(engine.generate, strict=True).checks["sampling_params"]
    return engine.generate(prompt, check(parameters, "sampling_params"), request_id)


async def run(
    engine: Engine, work: Callable[[], Awaitable[None]], abort: Abort = abort_in_engine
) -> None:
    """Carries out work that reads the outputs of one request, and ends the request with it.

    Args:
        engine: The engine.
        work: Makes the request and reads its outputs. It runs in a task of its own.
        abort: Aborts requests of an engine by their ids in it.
    """
    admission = Admission(None)
    token = ADMISSION.set(admission)
    finished = False
    try:
        await work()
        finished = True
    finally:
        ADMISSION.reset(token)
        if not finished and admission.request_ids:
            await asyncio.shield(abort(engine, admission.request_ids))


async def end(texts: Iterable[Unfinished]) -> None:
    """Ends the requests of texts that nobody waits for any more; those that are made stay."""
    await asyncio.gather(*(text.cancel_generation() for text in texts), return_exceptions=True)
