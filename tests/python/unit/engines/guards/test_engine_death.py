"""How an engine says that it is dead, and which deaths are logged."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards import engine_death, vllm_parts
from python_worker.engines.guards.core_outputs import CoreOutputs
from python_worker.engines.guards.engine_death import EngineDeathGuard
from python_worker.engines.guards.guarded import compose
from tests.python.support.engine_class import CoreClient, EngineClass


class EndedCore(CoreClient):
    """A client of EngineCore that has ended."""

    async def get_output_async(self) -> Any:
        """Says so."""
        raise RuntimeError("EngineCore is gone")


@pytest.mark.parametrize(("expected", "lines"), [(True, 0), (False, 1)])
async def test_only_an_end_that_nobody_asked_for_is_logged(
    expected: bool, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(engine_death.LOGGER)
    core: Any = EndedCore()
    outputs = CoreOutputs(core, lambda _: None)
    outputs.end_expected = expected
    logger.addFilter(engine_death.is_unexpected)
    try:
        await outputs.get()
    except RuntimeError:
        logger.exception("AsyncLLM output_handler failed.")
    finally:
        logger.removeFilter(engine_death.is_unexpected)
    assert len(caplog.records) == lines


def test_what_has_no_exception_is_logged() -> None:
    record = logging.LogRecord("vllm", logging.INFO, "", 1, "fine", (), None)
    assert engine_death.is_unexpected(record)


# --- The guard ---


@pytest.fixture
def engine() -> Any:
    return compose(EngineClass, (EngineDeathGuard,))()


def test_the_log_is_filtered_once_however_many_engines_there_are(engine: Any) -> None:
    compose(EngineClass, (EngineDeathGuard,))()
    filters = logging.getLogger(engine_death.LOGGER).filters
    assert filters.count(engine_death.is_unexpected) == 1


def test_a_dead_engine_says_how_its_processes_ended() -> None:
    class Own(EngineClass):
        """With processes."""

        def __init__(self) -> None:
            super().__init__()
            process = SimpleNamespace(name="EngineCore", pid=7, exitcode=-9)
            self.engine_core.resources.engine_manager = SimpleNamespace(processes=[process])

    engine: Any = compose(Own, (EngineDeathGuard,))()
    assert str(engine.dead_error) == "EngineCore encountered an issue."
    engine.engine_core.resources.engine_manager.processes.clear()  # as vLLM does
    engine.engine_core.resources.engine_dead = True
    assert "EngineCore (process 7) was killed by SIGKILL" in str(engine.dead_error)


def test_an_engine_that_was_shut_down_says_so(engine: Any) -> None:
    engine.shutdown(3.0)
    assert engine.calls == [("shutdown", 3.0)]
    assert str(engine.dead_error) == "EngineCore encountered an issue. It was shut down."
    assert engine._outputs.end_expected


def test_a_shutdown_of_a_dead_engine_does_not_hide_its_death(engine: Any) -> None:
    engine.engine_core.resources.engine_dead = True
    engine.shutdown()
    assert "It reported a fatal error" in str(engine.dead_error)


def test_an_engine_whose_building_failed_can_be_shut_down() -> None:
    class Fails(EngineClass):
        """Does not get to the end of its constructor."""

        def __init__(self) -> None:
            super().__init__()
            self.shutdown()
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        compose(Fails, (EngineDeathGuard,))()


async def test_a_call_of_an_engine_that_is_stopping_fails_with_its_death(engine: Any) -> None:
    assert await engine.engine_core._call_utility_async("sleep", 1) == ("sleep", 1)
    engine.engine_core.refusal = Exception("Server shutting down")
    with pytest.raises(RuntimeError, match="It was told to stop, and takes no more calls"):
        await engine.engine_core._call_utility_async("sleep", 1)
    engine.engine_core.refusal = Exception("Call to sleep method failed: no")
    with pytest.raises(Exception, match="Call to sleep method failed: no"):
        await engine.engine_core._call_utility_async("sleep", 1)


@pytest.mark.parametrize("method", ["pause_generation", "sleep"])
async def test_aborts_are_expected_while_a_call_makes_them(method: str) -> None:
    during: list[int] = []

    async def note(self: Any, **_given: Any) -> None:
        during.append(self._outputs.aborting)

    engine: Any = compose(type("Own", (EngineClass,), {method: note}), (EngineDeathGuard,))()
    await getattr(engine, method)(mode="keep")
    assert (during, engine._outputs.aborting) == ([1], 0)


async def test_the_stall_detector_sees_what_comes_and_what_is_awaited(engine: Any) -> None:
    engine.engine_core.outputs_queue.put_nowait(SimpleNamespace(outputs=[], engine_index=0))
    await engine.engine_core.get_output_async()
    assert engine._outputs_handled == 1
    states = engine.output_processor.request_states
    assert not engine._awaits_outputs()
    states["s"] = SimpleNamespace(streaming_input=True, input_chunk_queue=None)
    assert not engine._awaits_outputs()
    states["r"] = SimpleNamespace(streaming_input=False, input_chunk_queue=None)
    assert engine._awaits_outputs()
    await engine._ask_ahead()
    assert engine.calls == [("get_supported_tasks",)]


# --- Parts of an engine that vLLM does not watch


class WithCoordinator(EngineClass):
    """Has several cores, and a process that divides requests among them."""

    def __init__(self) -> None:
        super().__init__()
        self.proc = SimpleNamespace(name="VLLM_DP_Coordinator", pid=7, exitcode=None)
        self.engine_core.resources.coordinator = SimpleNamespace(proc=self.proc)


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(vllm_parts, "engine_dead", lambda: RuntimeError("dead"))
    return compose(WithCoordinator, (EngineDeathGuard,))()


async def test_the_end_of_a_part_is_that_of_the_engine(divided: Any) -> None:
    divided._look_at_parts()
    assert not divided.errored
    divided.proc.exitcode = -9
    divided._look_at_parts()
    assert divided.errored
    assert "VLLM_DP_Coordinator (process 7) was killed by SIGKILL" in str(divided.dead_error)
    # Its requests end, and so does what is left of it, once.
    with pytest.raises(RuntimeError, match="dead"):
        raise await divided.engine_core.outputs_queue.get()
    assert await asyncio.to_thread(divided.engine_core.shutdowns.get, timeout=30) is None
    divided._look_at_parts()
    assert divided.engine_core.outputs_queue.empty()
    # What ends later does not change the reason.
    divided.proc.exitcode = 0
    assert "SIGKILL" in str(divided.dead_error)


async def test_what_is_left_of_an_engine_that_died_otherwise_is_ended_as_well(
    divided: Any,
) -> None:
    divided.engine_core.resources.engine_dead = True
    divided._look_at_parts()
    assert await asyncio.to_thread(divided.engine_core.shutdowns.get, timeout=30) is None
    assert divided.engine_core.outputs_queue.empty()


def test_parts_end_with_an_engine_that_is_shut_down(divided: Any) -> None:
    divided.shutdown()
    divided.proc.exitcode = 0
    divided._look_at_parts()
    assert str(divided.dead_error) == "EngineCore encountered an issue. It was shut down."
    assert divided.engine_core.shutdowns.empty()


def test_an_engine_whose_cores_come_and_go_is_looked_at_as_a_whole(divided: Any) -> None:
    divided.engine_core.reqs_in_flight = {}
    divided.engine_core.core_engines = [b"\0\0", b"\1\0"]
    assert [core.rank for core in divided._cores()] == [0, 1]
    divided.vllm_config.parallel_config.enable_elastic_ep = True
    assert list(divided._cores()) == []
