"""The clock of an engine's silence: when it runs, when it stands, and what ends it."""

from __future__ import annotations

import asyncio
import random

from python_worker.engines.guards.weights import State, Weights
from python_worker.engines.stall_detector import Change, StallDetector, StallDetectors

STALL_AFTER = 10.0


class Engine:
    """As much of an engine as the clock looks at."""

    def __init__(self) -> None:
        self._outputs_handled = 0
        self._weights = Weights()
        self.waiting = True
        self.asleep = False
        self.answers = True
        self.asked = 0

    def _awaits_outputs(self) -> bool:
        return self.waiting

    async def is_sleeping(self) -> bool:
        self.asked += 1
        if not self.answers:
            await asyncio.get_running_loop().create_future()
        return self.asleep


class Looker:
    """Looks once a second, by a clock of its own."""

    def __init__(self, engine: Engine, *others: Engine, stall_after: float = STALL_AFTER) -> None:
        self.engine = engine
        self.progress = (
            StallDetectors((engine, *others), stall_after)
            if others
            else StallDetector(engine, stall_after)
        )
        self.now = 100.0
        self.excused = False

    async def look(self, seconds: float = 1.0) -> Change | None:
        self.now += seconds
        change = self.progress.look(self.now, excused=self.excused, at_most=2.0)
        await asyncio.sleep(0)  # an answer comes until the next look
        await asyncio.sleep(0)
        return change

    async def looks(self, count: int) -> list[Change]:
        found = [await self.look() for _ in range(count)]
        return [change for change in found if change is not None]


async def test_requests_without_outputs_are_told_once() -> None:
    looker = Looker(Engine())
    assert await looker.looks(10) == []  # The first look only starts the clock.
    assert looker.progress.stalled_s is None
    assert await looker.looks(20) == [Change.STALLED]
    assert looker.progress.stalled_s == 29.0


async def test_an_output_starts_the_time_anew_and_ends_a_stall() -> None:
    looker = Looker(Engine())
    for _ in range(5):
        assert await looker.looks(9) == []
        looker.engine._outputs_handled += 1
    assert await looker.looks(30) == [Change.STALLED]
    looker.engine._outputs_handled += 1
    assert await looker.looks(5) == [Change.RECOVERED]
    assert looker.progress.stalled_s is None


async def test_an_engine_that_does_not_answer_hangs() -> None:
    looker = Looker(Engine())
    looker.engine.answers = False
    assert await looker.looks(100) == [Change.STALLED]
    assert looker.engine.asked == 1, "each question would wait for ever in EngineCore's queue"
    looker.progress.stop()


async def test_one_that_sleeps_does_not() -> None:
    looker = Looker(Engine())
    looker.engine.asleep = True
    assert await looker.looks(100) == []
    looker.engine.asleep = False
    assert await looker.looks(30) == [Change.STALLED]


async def test_nor_does_one_that_nothing_waits_for() -> None:
    looker = Looker(Engine())
    looker.engine.waiting = False
    assert await looker.looks(100) == []
    assert looker.engine.asked == 0


async def test_nor_one_whose_weights_are_being_replaced() -> None:
    looker = Looker(Engine())
    for state in (State.OPEN, State.LOADING):
        looker.engine._weights.state = state
        assert await looker.looks(100) == []
    looker.engine._weights.state = State.WHOLE
    assert await looker.looks(30) == [Change.STALLED]


async def test_nor_one_that_is_being_put_to_sleep() -> None:
    looker = Looker(Engine())
    looker.excused = True
    assert await looker.looks(100) == []


async def test_a_stall_that_nothing_waits_for_any_more_ends_with_an_answer() -> None:
    looker = Looker(Engine())
    assert await looker.looks(20) == [Change.STALLED]
    looker.engine.answers = False
    await looker.looks(2)
    looker.engine.waiting = False
    assert await looker.looks(50) == []
    assert looker.progress.stalled_s is not None

    looker = Looker(Engine())
    assert await looker.looks(20) == [Change.STALLED]
    looker.engine.waiting = False
    assert await looker.looks(3) == [Change.RECOVERED]


async def test_time_in_which_nobody_looked_is_not_the_engines() -> None:
    looker = Looker(Engine())
    await looker.looks(3)
    assert await looker.look(3600.0) is None
    assert await looker.looks(30) == [Change.STALLED]


async def test_0_is_never() -> None:
    looker = Looker(Engine(), stall_after=0.0)
    assert await looker.looks(1000) == []
    assert looker.engine.asked == 0


# --- Several cores


async def test_one_silent_core_beside_a_busy_one_is_told_once() -> None:
    silent, busy = Engine(), Engine()
    looker = Looker(busy, silent)
    changes: list[Change] = []
    for _ in range(40):
        busy._outputs_handled += 1
        changes += await looker.looks(1)
    assert changes == [Change.STALLED]
    assert looker.progress.stalled_s == 39.0
    # The other one may stop as well, and it is the same engine that hangs.
    assert await looker.looks(20) == []
    busy._outputs_handled += 1
    assert await looker.looks(1) == []
    silent._outputs_handled += 1
    assert await looker.looks(1) == [Change.RECOVERED]
    assert looker.progress.stalled_s is None


async def test_each_core_is_asked_by_itself() -> None:
    hangs, sleeps = Engine(), Engine()
    hangs.answers, sleeps.asleep = False, True
    looker = Looker(sleeps, hangs)
    assert await looker.looks(30) == [Change.STALLED]
    assert hangs.asked == 1
    assert sleeps.asked > 1
    looker.progress.stop()


async def test_busy_is_not_dead_however_long() -> None:
    """A day of load on two cores: each brings something now and then, in time."""
    chance = random.Random(20)
    cores = [Engine(), Engine()]
    looker = Looker(*cores)
    silences = [0, 0]
    for _ in range(24 * 3600):
        for index, core in enumerate(cores):
            # Long steps are rarer than short ones, and none takes the whole time.
            if silences[index] >= STALL_AFTER - 2 or chance.random() < 0.3:
                core._outputs_handled += 1
                silences[index] = 0
            else:
                silences[index] += 1
        assert await looker.look() is None
