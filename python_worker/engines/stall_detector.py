"""Whether an engine moves: vLLM's ``check_health`` only knows whether it lives.

An EngineCore that hangs (in a kernel, a collective operation, a stopped process)
is as healthy as ever to vLLM, and its requests wait for ever. So the time is
taken in which requests wait for an output and none comes. It does not run where
that is as it should be: while the engine is paused or asleep, while its weights
are being replaced, and while nothing waits but for its client.

Whether it is paused only EngineCore knows, so it is asked at half the time. One
that hangs does not answer.

An engine with several cores has a clock for each of them: one that hangs beside one that is busy
keeps its own requests waiting.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterable
from typing import Protocol

from python_worker.engines.guards.weights import State, Weights


class Moving(Protocol):
    """An engine, or one of its cores, as far as its progress goes."""

    @property
    def _outputs_handled(self) -> int:
        """How many times outputs came from EngineCore."""

    def _awaits_outputs(self) -> bool:
        """Whether a request of it should get an output."""

    async def is_sleeping(self) -> bool:
        """Whether it sleeps or is paused; an EngineCore that hangs does not answer."""


class Change(enum.Enum):
    """What a look has found out."""

    STALLED = "stalled"
    RECOVERED = "recovered"


class StallDetector:
    """The clock of one engine's silence, or of that of one of its cores.

    Args:
        engine: The engine or core.
        stall_after: Seconds of silence after which it counts as hanging; 0 for never.
    """

    def __init__(self, engine: Moving, stall_after: float) -> None:
        self._engine = engine
        self._stall_after = stall_after
        self._handled = engine._outputs_handled
        self._silent = 0.0
        self._looked: float | None = None
        self._stalled = False
        self._question: asyncio.Task[bool] | None = None

    @property
    def stalled_s(self) -> float | None:
        """For how many seconds no output has come; None while the engine moves."""
        return self._silent if self._stalled else None

    def look(self, now: float, *, excused: bool, at_most: float) -> Change | None:
        """Take the time.

        Args:
            now: The time, in seconds.
            excused: Whether a call runs that silence belongs to.
            at_most: How much of the time since the last look counts. More was not
                the engine's silence but ours: a machine that slept, a busy loop.
        """
        if not self._stall_after:
            return None
        passed = 0.0 if self._looked is None else min(now - self._looked, at_most)
        self._looked = now
        answer = self._answer()
        handled, self._handled = self._handled, self._engine._outputs_handled
        waiting = self._engine._awaits_outputs()
        # Without requests only an answer shows that an engine that hung is back.
        moves = handled != self._handled or (
            (excused or answer is True or not waiting) and (not self._stalled or answer is not None)
        )
        if moves or self._weights_are_open():
            return self._moved()
        self._silent += passed
        if self._question is None and (self._stalled or self._silent >= self._stall_after / 2):
            self._question = asyncio.ensure_future(self._engine.is_sleeping())
        if self._stalled or self._silent < self._stall_after:
            return None
        self._stalled = True
        return Change.STALLED

    def stop(self) -> None:
        """Wait for no answer any more."""
        if self._question is not None:
            self._question.cancel()

    def _moved(self) -> Change | None:
        self._silent = 0.0
        stalled, self._stalled = self._stalled, False
        return Change.RECOVERED if stalled else None

    def _answer(self) -> bool | None:
        """Whether the engine sleeps, where it has answered since the last look."""
        question = self._question
        if question is None or not question.done():
            return None
        self._question = None
        failed = question.cancelled() or question.exception() is not None
        return None if failed else question.result()

    def _weights_are_open(self) -> bool:
        weights: Weights | None = getattr(self._engine, "_weights", None)
        return weights is not None and weights.state in (State.OPEN, State.LOADING)


class StallDetectors:
    """The clocks of an engine's cores: it hangs while one of them does.

    Args:
        cores: What has requests of its own: the engine, or each of its cores.
        stall_after: See ``StallDetector``.
    """

    def __init__(self, cores: Iterable[Moving], stall_after: float) -> None:
        self._detectors = [StallDetector(core, stall_after) for core in cores]

    @property
    def stalled_s(self) -> float | None:
        """The longest silence of a core that hangs, in seconds; None while all move."""
        silences = [it.stalled_s for it in self._detectors if it.stalled_s is not None]
        return max(silences, default=None)

    def look(self, now: float, *, excused: bool, at_most: float) -> Change | None:
        """Take the time of each. See ``StallDetector.look``."""
        was_stalled = self.stalled_s is not None
        for detector in self._detectors:
            detector.look(now, excused=excused, at_most=at_most)
        is_stalled = self.stalled_s is not None
        if was_stalled == is_stalled:
            return None
        return Change.STALLED if is_stalled else Change.RECOVERED

    def stop(self) -> None:
        """Wait for no answer any more."""
        for detector in self._detectors:
            detector.stop()
