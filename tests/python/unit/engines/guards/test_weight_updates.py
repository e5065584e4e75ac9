"""Which methods of an engine follow its weights; the states are tested in ``test_weights``."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.engines.guards.guarded import compose
from python_worker.engines.guards.weight_updates import FROM_WITHIN, WeightUpdatesGuard, within
from python_worker.engines.guards.weights import State
from python_worker.exceptions import Conflict, InvalidArgument
from tests.python.support.engine_class import EngineClass


@pytest.fixture
def engine() -> Any:
    return compose(EngineClass, (WeightUpdatesGuard,))()


def state_of(engine: Any) -> State:
    state: State = engine._weights.state
    return state


@pytest.mark.parametrize("start", ["start_weight_update", "start_draft_weight_update"])
async def test_an_update_opens_and_closes(engine: Any, start: str) -> None:
    await getattr(engine, start)()
    assert state_of(engine) is State.OPEN
    await engine.update_weights({"update_info": {}})
    await engine.finish_weight_update("v2")
    assert state_of(engine) is State.WHOLE
    assert [call[1] for call in engine.calls] == [start, "update_weights", "finish_weight_update"]


async def test_a_transfer_may_begin_and_end_in_any_state(engine: Any) -> None:
    engine._weights.state = State.OPEN
    await engine.init_weight_transfer_engine(object())
    await engine.shutdown_weight_transfer_engine()
    assert len(engine.calls) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda engine: engine.resume_generation(),
        lambda engine: engine.wake_up(["weights"]),
        lambda engine: engine.pause_generation(mode="wait"),
        lambda engine: engine.sleep(1, "wait"),
        lambda engine: engine.collective_rpc("list_loras"),
    ],
)
async def test_what_would_let_requests_run_is_refused_during_an_update(
    engine: Any, call: Any
) -> None:
    engine._weights.state = State.OPEN
    with pytest.raises(Conflict, match="finish_weight_update"):
        await call(engine)
    assert engine.calls == []
    engine._weights.state = State.WHOLE
    await call(engine)
    assert len(engine.calls) == 1


async def test_what_lets_no_request_run_passes(engine: Any) -> None:
    engine._weights.state = State.OPEN
    await engine.pause_generation(mode="keep", clear_cache=False)
    await engine.sleep()
    await engine.collective_rpc("check_health")
    assert [call[0] for call in engine.calls] == ["pause_generation", "sleep", "collective_rpc"]
    assert engine.calls[1] == ("sleep", 1, "abort"), "vLLM's own defaults"


async def test_a_reload_is_followed(engine: Any) -> None:
    with pytest.raises(InvalidArgument, match="weights_path"):
        await engine.collective_rpc("reload_weights", kwargs={"weights_path": 7})
    engine.rpc_error = Exception("Call to collective_rpc method failed: no such file")
    with pytest.raises(Exception, match="no such file"):
        await engine.collective_rpc("reload_weights", kwargs={"weights_path": "/m"})
    assert state_of(engine) is State.BROKEN
    engine.rpc_error = None
    assert await engine.collective_rpc("reload_weights") == ["reload_weights"]
    assert state_of(engine) is State.WHOLE


async def test_within_ends_with_the_call() -> None:
    async def method(value: int) -> tuple[int, bool]:
        return value, FROM_WITHIN.get()

    assert await within(method, 3)() == (3, True)
    assert not FROM_WITHIN.get()
