"""Work that would hold up the event loop, for what is large, in threads of its own.

Threads of one process take turns with the interpreter's lock. So there are few, or the loop would
wait for many; and what is very large has a thread of its own, so that others of moderate size do
not wait for it. What runs here must not stay in one call of C for long.

Whoever has a thread of its own, as each ``LLM`` does, holds up no loop: there ``inline`` has such
work done at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

T = TypeVar("T")

LARGE_WORK: Final = 32 * 1024
"""From this size on, in bytes, work does not run on the loop: each byte may be a value of its own,
which takes half a microsecond to check."""

VERY_LARGE: Final = 1024 * 1024
"""From this size on, in bytes, work waits only for other work of that size."""

TURN_SECONDS: Final = 0.005
"""How long the loop works for one client before others have their turn."""

SWITCH_SECONDS: Final = 0.001
"""How long a thread keeps the interpreter's lock that another wants. The loop loses the lock at
each system call; with Python's 5 ms, a stream's output waited 20 ms beside one busy thread."""

_threads: Final = ThreadPoolExecutor(2, thread_name_prefix="large")
_thread_of_the_largest: Final = ThreadPoolExecutor(1, thread_name_prefix="largest")


COLLECTION_REST_SECONDS: Final = 0.25
"""How long the garbage collector rests behind very large work. What that has made is freed by then,
as a rule."""

COLLECTION_REST_LIMIT_SECONDS: Final = 10.0
"""How long it rests at most, however much very large work there is."""

_inline: Final = contextvars.ContextVar("inline", default=False)


@contextmanager
def inline() -> Iterator[None]:
    """Has large work done at once, in the thread that it is asked for in."""
    token = _inline.set(True)
    try:
        yield
    finally:
        _inline.reset(token)


def is_inline() -> bool:
    """Whether large work is done at once here."""
    return _inline.get()


def let_threads_take_turns() -> None:
    """Has a busy thread give up the interpreter's lock soon, for the whole process."""
    sys.setswitchinterval(SWITCH_SECONDS)


async def run(size: int, function: Callable[[], T]) -> T:
    """Calls a function where it does not hold up the loop, in the caller's context.

    Args:
        size: How many bytes it works on.
        function: What to call; it must not need the loop.
    """
    if _inline.get():
        return function()
    call = functools.partial(contextvars.copy_context().run, function)
    loop = asyncio.get_running_loop()
    if size < VERY_LARGE:
        return await loop.run_in_executor(_threads, call)
    with _collector.resting(loop):
        return await loop.run_in_executor(_thread_of_the_largest, call)


class RestingCollector:
    """Keeps Python's garbage collector from walking what very large work makes.

    Half a million new objects make it walk all of them several times, each time with the
    interpreter's lock for 50 to 100 ms. They are freed without it, as they hold no cycles.
    """

    def __init__(self) -> None:
        self._working = 0
        self._since: float | None = None
        self._end: asyncio.TimerHandle | None = None

    @contextmanager
    def resting(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """The collector rests until the block has ended and a little longer; on the loop only."""
        if self._since is None and gc.isenabled():
            self._since = loop.time()
            gc.disable()
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1
            if self._end is not None:
                self._end.cancel()
            self._end = loop.call_later(COLLECTION_REST_SECONDS, self._finish, loop)

    def _finish(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._since is None:
            return
        if self._working and loop.time() - self._since < COLLECTION_REST_LIMIT_SECONDS:
            return  # The end of that work comes here again.
        self._since = None
        gc.enable()


_collector: Final = RestingCollector()


async def in_thread(function: Callable[[], T]) -> T:
    """Calls a function in one of the many threads of the loop, where it waits for no other."""
    return function() if _inline.get() else await asyncio.to_thread(function)


async def run_if_large(size: int, function: Callable[[], T]) -> T:
    """Calls a function at once if it works on few bytes, else as ``run`` does."""
    return function() if size < LARGE_WORK else await run(size, function)


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> T:
    """Calls a function on the loop, from a thread, and waits for its result."""
    done: Future[T] = Future()

    def call() -> None:
        try:
            done.set_result(function())
        except BaseException as error:
            done.set_exception(error)

    loop.call_soon_threadsafe(call)
    return done.result()


def is_over(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the present turn of the loop has taken long: uvloop's clock stands still in one."""
    return time.monotonic() - loop.time() > TURN_SECONDS


def turns(steps: Iterator[None]) -> Iterator[None]:
    """Takes steps, and yields whenever a turn is over, so that others can have theirs."""
    end = time.perf_counter() + TURN_SECONDS
    for _ in steps:
        if time.perf_counter() > end:
            yield
            end = time.perf_counter() + TURN_SECONDS
