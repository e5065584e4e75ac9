"""Runs the requests of one call at the same time in an engine, and ends them together.

The engine gets so many at a time as keep it busy, and the next as some are done: so others'
requests do not wait behind all of a batch of thousands. When one request fails, or the call is
cancelled, the others are aborted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from python_worker.exceptions import Cancelled, InputFailed, Kind, LimitExceeded, Overloaded
from python_worker.failures import kind_of
from python_worker.pooling.inputs import raise_failed
from python_worker.pooling.requests import Renderer, Request
from python_worker.pooling.tensors import bytes_of, is_empty
from python_worker.streaming.admission import ADMISSION, Admission
from python_worker.streaming.progress import Counter
from python_worker.wire.limits import MAX_VALUE_BYTES

Abort = Callable[[Any, Iterable[str]], Awaitable[None]]

CHUNK_REQUESTS: Final = 32
"""Requests that are rendered in one turn of the engine's thread, which others wait for."""

CHUNK_CHARS: Final = 32 * 1024

SHORT_S: Final = 0.5
"""The client is not told of the progress of a batch that is over within this time."""

OTHERS_AT_ONCE: Final = 256
"""Requests at the same time in an engine that is none of vLLM's."""


class Batch:
    """The requests of one call.

    Args:
        engine: The engine.
        renderer: Renders them.
        requests: They, in order.
        batch_id: What their ids in the engine begin with.
        abort: Aborts requests of an engine by their ids in it.
        keep: What is kept of each output.
        options: More arguments of ``encode``, the same for all requests.
    """

    def __init__(
        self,
        engine: Any,
        renderer: Renderer,
        requests: Sequence[Request],
        batch_id: str,
        *,
        abort: Abort,
        keep: Callable[[Any], Any] = lambda output: output,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._engine = engine
        self._renderer = renderer
        self._requests = requests
        self._id = batch_id
        self._abort = abort
        self._keep = keep
        self._options = options or {}
        self._at_once = at_once(engine)
        self._room = asyncio.Semaphore(self._at_once)
        self._open: dict[int, Admission] = {}
        self._outputs: list[Any] = [None] * len(requests)
        self._bytes = 0
        self._done = 0
        self._progress = Counter(len(requests), after_s=SHORT_S)

    async def outputs(self) -> list[Any]:
        """What is kept of the output of each request, in order.

        Raises:
            InputFailed: One of them failed; all others are aborted.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for chunk in chunks(self._requests, min(CHUNK_REQUESTS, self._at_once)):
                    await self._start(group, chunk)
        except BaseExceptionGroup as failures:
            reason = the_reason(failures)
            raise reason from reason.__cause__
        finally:
            # vLLM does not abort a request whose caller leaves while it is being added.
            left = [it for admission in self._open.values() for it in admission.request_ids]
            if left:
                await asyncio.shield(self._abort(self._engine, left))
        return self._outputs

    async def _start(self, group: asyncio.TaskGroup, chunk: range) -> None:
        for _ in chunk:
            await self._room.acquire()
        requests = self._requests[chunk.start : chunk.stop]
        for number, ready in zip(chunk, await self._renderer.render(requests), strict=True):
            if isinstance(ready, Exception):
                request = self._requests[number]
                raise_failed(request.argument, request.index, ready)
            group.create_task(self._pool(number, ready))

    async def _pool(self, number: int, ready: Any) -> None:
        """Run one request to its end."""
        self._open[number] = admission = Admission(None)
        ADMISSION.set(admission)  # of this task alone
        request = self._requests[number]
        try:
            last = None
            async for output in self._engine.encode(
                ready["prompts"],
                ready["params"],
                f"{self._id}-{number}",
                lora_request=ready["lora_requests"],
                priority=ready["priorities"],
                **self._options,
            ):
                last = output
            self._take(number, last)
        except Exception as error:
            raise_failed(request.argument, request.index, error)
        finally:
            self._room.release()
        del self._open[number]

    def _take(self, number: int, output: Any) -> None:
        """Keep an output.

        Raises:
            LimitExceeded: The outputs are together more than one answer may hold.
        """
        check_output(output)
        self._bytes += bytes_of(output.outputs.data)
        if self._bytes > MAX_VALUE_BYTES:
            raise LimitExceeded(
                f"with this input the outputs of the batch have {self._bytes} bytes; an answer may "
                f"have {MAX_VALUE_BYTES}: split the batch",
                limit=MAX_VALUE_BYTES,
            )
        self._outputs[number] = self._keep(output)
        self._done += 1
        self._progress.tell("Processed inputs", self._done)


def check_output(output: Any) -> None:
    """Refuse an output that has no numbers.

    Raises:
        Cancelled: Somebody aborted the request.
        Overloaded: The engine could not do it this time.
        InputFailed: The engine could not do it.
    """
    if (error := getattr(output, "error", None)) is not None:
        if error.retryable:
            raise Overloaded(error.message, code=error.code)
        raise InputFailed(Kind.ENGINE_ERROR, error.message, code=error.code)
    if output is None or is_empty(output.outputs.data):
        raise Cancelled("the request was aborted")


def at_once(engine: Any) -> int:
    """How many requests of a batch are in the engine at the same time.

    As in vLLM's ``LLM``: twice what a step takes, so that no step waits for requests. No more than
    the engine's queue admits.
    """
    config = getattr(getattr(engine, "vllm_config", None), "scheduler_config", None)
    if config is None:
        return OTHERS_AT_ONCE
    most: int = 2 * config.max_num_seqs
    queue: int | None = getattr(config, "max_num_queued_reqs", None)
    return most if queue is None else max(1, min(most, queue))


def chunks(requests: Sequence[Request], most: int) -> Iterator[range]:
    """The requests in parts that are rendered together, as ranges of their numbers."""
    start, size = 0, 0
    for number, request in enumerate(requests):
        full = number - start >= most or size + request.size > CHUNK_CHARS
        if full and number > start:
            yield range(start, number)
            start, size = number, 0
        size += request.size
    if start < len(requests):
        yield range(start, len(requests))


def the_reason(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that a batch ends with: the death of the engine, or else what came first."""
    leaves = list(_leaves(failures))
    dead = [error for error in leaves if kind_of(error) == Kind.ENGINE_DEAD]
    return (dead or leaves)[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
