"""A loop's clock that the test moves: timers run when it does, and never late."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest


class Timer:
    """A call of the clock's."""

    def __init__(self, clock: Clock, at: float, function: Callable[[], None]) -> None:
        self.clock, self.at, self.function = clock, at, function

    def cancel(self) -> None:
        """Never run."""
        self.clock.timers.discard(self)


class Clock:
    """As much of a loop as timers need; one of them at a time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: set[Timer] = set()

    def time(self) -> float:
        """The time, in seconds."""
        return self.now

    def call_later(self, seconds: float, function: Callable[[], None]) -> Timer:
        """Set a timer."""
        timer = Timer(self, self.now + seconds, function)
        self.timers.add(timer)
        return timer

    def look(self) -> float:
        """Move to the timer; returns the seconds that it took."""
        (timer,) = self.timers
        self.timers.clear()
        passed, self.now = timer.at - self.now, timer.at
        timer.function()
        return passed

    def late(self, seconds: float) -> None:
        """The loop was busy, or the machine slept."""
        (timer,) = self.timers
        timer.at += seconds


def clock_of(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Has a module take a clock for its loop."""
    clock = Clock()
    loops = SimpleNamespace(get_running_loop=lambda: clock)
    monkeypatch.setattr(module, "asyncio", loops)
    return clock
