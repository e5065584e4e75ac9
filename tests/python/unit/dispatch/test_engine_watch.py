"""What clients and calls are told of an engine's end, of its silence, and of half-used adapters.

Time is the test's own: a look at an engine happens when the clock is moved.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker import failures
from python_worker.dispatch import engine_watch
from python_worker.dispatch.call import Call
from python_worker.dispatch.engine_watch import INTERVAL_SECONDS, LATE_SECONDS, Watch, Watches
from python_worker.exceptions import Kind
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.testing.fake_vllm.errors import EngineDeadError
from tests.python.support.calls import Answers
from tests.python.support.clock import Clock, clock_of

STALL_AFTER = 8.0


class Engine:
    """As much of an engine as is looked at."""

    def __init__(self) -> None:
        self.errored = False
        self.dead_error: Exception = EngineDeadError()
        self._outputs_handled = 0
        self.waiting = False
        self.unfinished = 3

    def _awaits_outputs(self) -> bool:
        return self.waiting

    async def is_sleeping(self) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        return await answer  # It does not come.

    def get_num_unfinished_requests(self) -> int:
        return self.unfinished

    def die(self) -> None:
        self.errored = True


class Told:
    """What is told of one engine."""

    def __init__(self) -> None:
        self.notices: list[pb.Notice] = []
        self.health: list[tuple[str, bool | None]] = []
        self.ended = 0

    def set_health(self, ref_id: str, well: bool | None) -> None:
        self.health.append((ref_id, well))

    def end(self) -> None:
        self.ended += 1

    @property
    def what(self) -> list[str]:
        return [str(it.WhichOneof("event")) for it in self.notices]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return clock_of(engine_watch, monkeypatch)


@pytest.fixture
def told() -> Told:
    return Told()


def watch(engine: Any, told: Told, stall_after: float = STALL_AFTER) -> Watch:
    return Watch(
        engine,
        "r1",
        "AsyncLLM",
        announce=told.notices.append,
        set_health=told.set_health,
        ended=told.end,
        stall_after=stall_after,
    )


def call(method: str = "check_health") -> Call:
    return Call(pb.CallRequest(method=method), Answers(), holder="me")


async def begun(one: Call) -> asyncio.Task[None]:
    task = one.go_on(asyncio.sleep(60))
    await asyncio.sleep(0)
    return task


async def looks(clock: Clock, count: int) -> float:
    seconds = 0.0
    for _ in range(count):
        seconds += clock.look()
        await asyncio.sleep(0)
    return seconds


# --- Death


async def test_a_death_is_told_once_with_its_reason_and_ends_the_calls(
    clock: Clock, told: Told
) -> None:
    engine = Engine()
    watching = watch(engine, told)
    assert told.health == [("r1", True)]
    waiting = call()
    with watching.over(waiting):
        task = await begun(waiting)
        clock.look()
        assert not task.cancelling()
        engine.die()
        clock.look()
        await task
    clock.look()
    assert waiting.sink.failure.kind == Kind.ENGINE_DEAD  # type: ignore[attr-defined]
    assert told.what == ["engine_died"]
    died = told.notices[0].engine_died
    assert (died.ref, died.type) == ("r1", "AsyncLLM")
    assert died.failure == failures.to_proto(engine.dead_error)
    assert told.health == [("r1", True), ("r1", False)]
    assert told.ended == 1


async def test_a_call_that_comes_after_the_death_ends_too(clock: Clock, told: Told) -> None:
    engine = Engine()
    watching = watch(engine, told)
    engine.die()
    clock.look()
    later = call()
    with watching.over(later):
        task = await begun(later)
        clock.look()
        await task
    assert later.sink.failure.kind == Kind.ENGINE_DEAD  # type: ignore[attr-defined]


async def test_a_call_that_is_over_is_left_alone(clock: Clock, told: Told) -> None:
    engine = Engine()
    watching = watch(engine, told)
    other = call()
    with watching.over(other):
        pass
    task = await begun(other)
    engine.die()
    clock.look()
    assert not task.cancelling()
    task.cancel()


async def test_an_end_that_was_asked_for_is_not_told(clock: Clock, told: Told) -> None:
    engine = Engine()
    watching = watch(engine, told)
    watching.expect_end()
    engine.die()
    clock.look()
    assert told.what == []
    assert told.health == [("r1", True)]
    assert watching.stalled_s is None


async def test_a_watch_that_stops_ends_the_calls_of_a_dead_engine_and_looks_no_more(
    clock: Clock, told: Told
) -> None:
    engine = Engine()
    watching = watch(engine, told)
    left = call()
    with watching.over(left):
        task = await begun(left)
        engine.die()
        watching.stop()
        await task
    assert left.sink.failure.kind == Kind.ENGINE_DEAD  # type: ignore[attr-defined]
    assert clock.timers == set()
    assert told.health == [("r1", True), ("r1", None)]
    assert told.ended == 1


async def test_the_death_is_the_error_of_a_call_without_its_traceback(
    clock: Clock, told: Told
) -> None:
    engine = Engine()
    watching = watch(engine, told)
    engine.die()
    raised = EngineDeadError()
    with pytest.raises(EngineDeadError) as caught, watching.over(call()):
        raise raised
    assert caught.value is engine.dead_error
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("dead", "error"),
    [(True, ValueError("no")), (False, EngineDeadError()), (True, KeyboardInterrupt())],
)
async def test_another_error_of_a_call_stays_what_it_is(
    clock: Clock, told: Told, dead: bool, error: BaseException
) -> None:
    engine = Engine()
    watching = watch(engine, told)
    engine.errored = dead
    with pytest.raises(type(error)) as caught, watching.over(call()):
        raise error
    assert caught.value is error


# --- Silence


async def test_a_silence_is_told_and_its_end(clock: Clock, told: Told) -> None:
    engine = Engine()
    watching = watch(engine, told)
    engine.waiting = True
    silent = 0.0
    clock.look()  # The first look only starts the clock.
    while not told.notices:
        assert watching.stalled_s is None
        silent += await looks(clock, 1)
    assert silent == pytest.approx(STALL_AFTER, abs=2 * INTERVAL_SECONDS)
    stalled = told.notices[0].engine_stalled
    assert (stalled.ref, stalled.type) == ("r1", "AsyncLLM")
    assert stalled.unfinished_requests == 3
    assert watching.stalled_s is not None
    assert stalled.stalled_ms == int(watching.stalled_s * 1000)
    assert told.health[-1] == ("r1", False)
    await looks(clock, 10)
    assert told.what == ["engine_stalled"]
    before = watching.stalled_s
    engine._outputs_handled += 1
    await looks(clock, 1)
    assert told.what == ["engine_stalled", "engine_recovered"]
    recovered = told.notices[1].engine_recovered
    assert (recovered.ref, recovered.type) == ("r1", "AsyncLLM")
    assert recovered.stalled_ms == int(before * 1000)
    assert told.health[-1] == ("r1", True)
    assert watching.stalled_s is None
    watching.stop()


@pytest.mark.parametrize("method", ["sleep", "wake_up", "generate"])
async def test_a_silence_that_belongs_to_a_call_is_not_told(
    clock: Clock, told: Told, method: str
) -> None:
    engine = Engine()
    watching = watch(engine, told)
    engine.waiting = True
    with watching.over(call()), watching.over(call(method)):
        await looks(clock, int(2 * STALL_AFTER / INTERVAL_SECONDS))
    assert told.what == (["engine_stalled"] if method == "generate" else [])
    watching.stop()


async def test_a_time_in_which_nobody_looked_counts_in_part(clock: Clock, told: Told) -> None:
    engine = Engine()
    watching = watch(engine, told)
    engine.waiting = True
    clock.look()
    for _ in range(int(STALL_AFTER / LATE_SECONDS) - 1):
        clock.late(100.0)
        await looks(clock, 1)
    assert told.what == []
    clock.late(100.0)
    await looks(clock, 1)
    assert told.what == ["engine_stalled"]
    watching.stop()


async def test_it_looks_more_often_for_a_short_silence(clock: Clock, told: Told) -> None:
    watching = watch(Engine(), told, stall_after=0.2)
    assert clock.look() == pytest.approx(0.05)
    assert clock.look() == pytest.approx(0.05)
    watching.stop()
    watching = watch(Engine(), told, stall_after=0.0)
    assert clock.look() == pytest.approx(INTERVAL_SECONDS)
    watching.stop()


async def test_an_engine_that_is_dead_does_not_stall(clock: Clock, told: Told) -> None:
    engine = Engine()
    watching = watch(engine, told)
    engine.waiting = True
    await looks(clock, 50)
    engine.die()
    await looks(clock, 100)
    assert told.what == ["engine_died"]
    assert watching.stalled_s is None


async def test_of_an_engine_that_does_not_tell_only_the_death_is_told(
    clock: Clock, told: Told
) -> None:
    engine = SimpleNamespace(errored=False, dead_error=EngineDeadError())
    watching = watch(engine, told)
    await looks(clock, 100)
    assert watching.stalled_s is None
    engine.errored = True
    clock.look()
    assert told.what == ["engine_died"]


async def test_each_core_of_an_engine_has_its_own_silence(clock: Clock, told: Told) -> None:
    engine, cores = Engine(), [Engine(), Engine()]
    engine._cores = lambda: cores  # type: ignore[attr-defined]
    watching = watch(engine, told)
    cores[1].waiting = True
    for _ in range(int(2 * STALL_AFTER / INTERVAL_SECONDS)):
        cores[0]._outputs_handled += 1
        await looks(clock, 1)
    assert told.what == ["engine_stalled"]
    watching.stop()


# --- Parts and adapters


async def test_it_looks_at_parts_and_asks_ahead(clock: Clock, told: Told) -> None:
    seen: list[str] = []
    engine = Engine()

    async def ask_ahead() -> None:
        seen.append("asked")

    engine._look_at_parts = lambda: seen.append("looked")  # type: ignore[attr-defined]
    engine._ask_ahead = ask_ahead  # type: ignore[attr-defined]
    watching = watch(engine, told)
    for _ in range(3):
        await asyncio.sleep(0)
    assert seen == ["asked"]
    clock.look()
    clock.look()
    assert seen == ["asked", "looked", "looked"]
    watching.stop()


async def test_adapters_that_are_used_in_part_are_told(clock: Clock, told: Told) -> None:
    engine = Engine()
    given = SimpleNamespace(lora_name="a", lora_int_id=7, lora_path="/a")
    names = {"unknown_modules": ["x"], "empty_targets": ["y", "z"]}
    taken = [[SimpleNamespace(lora_request=given, names=names)], []]
    engine._take_partly_used = lambda: taken.pop(0)  # type: ignore[attr-defined]
    watching = watch(engine, told)
    await looks(clock, 2)
    (notice,) = told.notices
    said = notice.adapter_partly_used
    assert (said.ref, said.type) == ("r1", "AsyncLLM")
    assert (said.lora_name, said.lora_int_id, said.lora_path) == ("a", 7, "/a")
    assert (list(said.unknown_modules), list(said.empty_targets)) == (["x"], ["y", "z"])
    watching.stop()


# --- All of a worker's


async def test_a_watch_belongs_to_its_engine_until_that_is_shut_down(
    clock: Clock, told: Told
) -> None:
    watches = Watches(
        announce=told.notices.append,
        set_health=told.set_health,
        ended=told.end,
        stall_after=STALL_AFTER,
    )
    engine, other = Engine(), Engine()
    assert watches.of(engine) is None
    watches.begin(engine, "r7", "AsyncLLM")
    assert isinstance(watches.of(engine), Watch)
    assert watches.of(other) is None
    assert watches.of(None) is None
    assert told.health == [("r7", True)]
    watches.end(other)
    assert watches.of(engine) is not None
    watches.end(engine)
    assert watches.of(engine) is None
    assert told.health == [("r7", True), ("r7", None)]
    assert told.ended == 1
    watches.end(engine)
    assert told.ended == 1


async def test_it_needs_nobody_who_is_told(clock: Clock) -> None:
    notices: list[pb.Notice] = []
    watches = Watches(announce=notices.append)
    engine = Engine()
    watches.begin(engine, "r7", "AsyncLLM")
    engine.waiting = True
    await looks(clock, 1000)
    assert notices == []  # Without a limit no silence is too long.
    engine.die()
    clock.look()
    assert [it.WhichOneof("event") for it in notices] == ["engine_died"]
    watches.end(engine)
