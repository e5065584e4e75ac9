"""The part of the fake engine that vLLM has not: what a test scripts, sees and provokes.

All of it is public, so that a test on the other side of the bridge reaches it by ordinary calls.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from python_worker.testing.fake_engine import plan
from python_worker.testing.fake_engine.script import Behaviour, Injection, Script
from python_worker.testing.fake_vllm import values
from python_worker.testing.fake_vllm.errors import make_error

#: The record is for tests; in a soak it must not grow without end.
MAX_CALLS = 10_000


class Controls:
    """Script, call record, waiting, and values of every kind."""

    def __init__(self) -> None:
        self._script = Script()
        self._injections: dict[str, Injection] = {}
        self._calls: deque[list[Any]] = deque(maxlen=MAX_CALLS)
        self._aborted: deque[str] = deque(maxlen=MAX_CALLS)
        self._waiters: set[asyncio.Future[None]] = set()
        self._children: list[subprocess.Popen[bytes]] = []
        self._open_streams = 0
        self._is_control = False

    # --- Script ---

    async def script(
        self,
        behaviour: dict[str, Any],
        prompt: str | list[int] | None = None,
        pattern: str | None = None,
        times: int | None = None,
    ) -> None:
        """Sets how later requests are treated.

        Args:
            behaviour: The fields of ``fake_script.Behaviour``; those left out have their default.
            prompt: Only requests with this prompt; None for all others.
            pattern: Only those in whose text this regular expression finds something.
            times: Only the next so many of them; see ``fake_script.Script``.
        """
        self._script.set(Behaviour.of(behaviour), prompt=prompt, pattern=pattern, times=times)

    async def release(self) -> int:
        """Lets the requests go on that a script holds; returns how many there were."""
        return self._release()

    async def plan(self, config: dict[str, Any]) -> None:
        """Adds to the plan of this worker's engines; see ``plan``."""
        plan.PLAN.add(config)

    @property
    def is_control(self) -> bool:
        """Whether it was only built to give access to the plan."""
        return self._is_control

    async def inject(self, method: str, injection: dict[str, Any] | None) -> None:
        """Sets what happens at the start of a method of vLLM's; None for nothing.

        Args:
            method: Its name.
            injection: The fields of ``fake_script.Injection``.
        """
        self._inject(method, injection)

    async def reset(self) -> None:
        """Forgets script, injections and record; requests in flight are left alone."""
        self._script = Script()
        for kept in (self._injections, self._calls, self._aborted):
            kept.clear()

    # --- What reached the engine ---

    async def calls(self, method: str | None = None) -> list[list[Any]]:
        """Returns ``[method, args, kwargs]`` of each call of a method of vLLM's, oldest first."""
        return [call for call in self._calls if method in (None, call[0])]

    async def aborted(self) -> list[str]:
        """Returns the callers' ids of aborted requests, once for each completion."""
        return list(self._aborted)

    async def live(self) -> dict[str, int]:
        """Returns how many requests, streams of ``count`` and asyncio tasks there are."""
        return {
            "requests": self._count_requests(),
            "streams": self._open_streams,
            "tasks": len(asyncio.all_tasks()),
        }

    async def alive(self) -> int:
        """Returns how many objects of ``make("object")`` have not been freed."""
        return len(values.Thing.alive)

    async def wait_aborted(self, request_id: str) -> None:
        """Returns once a request has been aborted."""
        await self._until(lambda: request_id in self._aborted)

    async def wait_requests(self, count: int) -> None:
        """Returns once there are so many requests in the engine."""
        await self._until(lambda: self._count_requests() == count)

    async def wait_streams(self, count: int) -> None:
        """Returns once there are so many streams of ``count``."""
        await self._until(lambda: self._open_streams == count)

    async def wait_alive(self, count: int) -> None:
        """Returns once there are so many objects of ``make("object")``."""
        await self._until(lambda: len(values.Thing.alive) == count)

    async def wait_called(self, method: str, count: int = 1) -> None:
        """Returns once a method of vLLM's has been called so many times."""
        await self._until(lambda: sum(call[0] == method for call in self._calls) >= count)

    async def wait_calls(self, count: int) -> None:
        """Returns once methods of vLLM's have been called so many times in all."""
        await self._until(lambda: len(self._calls) >= count)

    async def loop_id(self) -> int:
        """Returns the identity of the event loop that runs this."""
        return id(asyncio.get_running_loop())

    # --- Values ---

    async def echo(self, value: Any) -> Any:
        """Returns its argument."""
        return value

    async def echo_async(self, value: Any) -> Any:
        """Returns its argument, after a turn of the event loop."""
        await asyncio.sleep(0)
        return value

    def echo_sync(self, value: Any) -> Any:
        """Returns its argument, without a coroutine."""
        return value

    async def make(self, kind: str) -> Any:
        """Returns a value that a client could not send; see ``fake_values.KINDS``."""
        return self._make(kind)

    async def make_each(self, kind: str, n: int) -> AsyncGenerator[Any, None]:
        """Yields so many values of ``make``, one in each turn of the event loop."""
        for _ in range(n):
            yield self._make(kind)
            await asyncio.sleep(0)

    def _make(self, kind: str) -> Any:
        before = set(values.Thing.alive)
        value = values.make(kind)
        for thing in set(values.Thing.alive) - before:
            weakref.finalize(thing, self._changed)
        return value

    @property
    def label(self) -> str:
        """A property."""
        return "a fake engine"

    async def count(self, n: int, delay: float = 0.0) -> AsyncGenerator[int, None]:
        """Yields 0, 1, ... below ``n``: a stream that is no request."""
        self._open_streams += 1
        try:
            for number in range(n):
                await asyncio.sleep(delay)
                yield number
        finally:
            self._open_streams -= 1
            self._changed()

    # --- Trouble ---

    async def raise_(self, error: str, message: str = "", cause: list[Any] | None = None) -> None:
        """Raises an exception by the name of its class; see ``fake_errors.make_error``."""
        raise make_error([error, message, cause])

    async def raise_while_streaming(
        self, items: int, error: str, message: str = ""
    ) -> AsyncGenerator[int, None]:
        """Yields so many numbers, then raises."""
        for number in range(items):
            yield number
        raise make_error([error, message])

    def block_until(self, path: str) -> str:
        """Blocks its thread until there is a file, as a careless method of an engine would."""
        plan.wait_for_file(path)
        return "unblocked"

    async def wait_forever(self) -> None:
        """Never returns."""
        await asyncio.get_running_loop().create_future()

    async def print_megabytes(self, megabytes: int) -> None:
        """Writes lines to the file descriptor of stdout, as a native library would."""
        line = b"x" * 1023 + b"\n"
        for _ in range(megabytes):
            await asyncio.to_thread(_write_all, line * 1024)

    def start_child(self) -> int:
        """Starts a process that would run for an hour, like EngineCore; returns its id."""
        command = [sys.executable, "-S", "-c", "import time; time.sleep(3600)"]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._children.append(child)
        return child.pid

    async def die(self) -> None:
        """The engine dies: every request fails and ``errored`` is true from now on."""
        self._die()

    async def crash(self, status: int = 1) -> None:
        """The whole worker process ends at once, without cleaning up."""
        os._exit(status)

    # --- For the engine ---

    def begin(self, config: Mapping[str, Any]) -> None:
        """Does what a plan says; see ``plan``."""
        self._is_control = self._is_control or bool(config.get("control"))
        if "script" in config:
            self._script.set(Behaviour.of(config["script"]))
        for script in config.get("scripts", ()):
            self._script.set(**{**script, "behaviour": Behaviour.of(script["behaviour"])})
        for injection in config.get("injections", ()):
            self._inject(**injection)

    def _note(self, method: str, *args: object, **kwargs: object) -> None:
        """Records a call and raises what was injected."""
        self._calls.append([method, list(args), kwargs])
        self._changed()
        if (injection := self._injection(method)) and injection.error:
            raise make_error(injection.error)

    async def _enter(self, method: str, *args: object, **kwargs: object) -> None:
        """Records a call of a coroutine and lets happen what was injected."""
        self._calls.append([method, list(args), kwargs])
        self._changed()
        if injection := self._injection(method):
            await asyncio.sleep(injection.delay)
            if injection.hang:
                await self.wait_forever()
            if injection.error:
                raise make_error(injection.error)

    def _inject(self, method: str, injection: dict[str, Any] | None) -> None:
        self._injections.pop(method, None)
        if injection is not None:
            self._injections[method] = Injection(**injection)

    def _injection(self, method: str) -> Injection | None:
        injection = self._injections.get(method)
        if injection is None or injection.times is None:
            return injection
        if injection.times <= 1:
            del self._injections[method]
        else:
            self._injections[method] = Injection(
                error=injection.error,
                delay=injection.delay,
                hang=injection.hang,
                times=injection.times - 1,
            )
        return injection

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def _changed(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _end_children(self) -> None:
        for child in self._children:
            child.kill()
            child.wait()
        self._children.clear()

    def _count_requests(self) -> int:
        raise NotImplementedError

    def _release(self) -> int:
        raise NotImplementedError

    def _die(self) -> None:
        raise NotImplementedError


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
