"""Which calls a weight update lets through, and that its end can always be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from python_worker.engines import core_calls
from python_worker.engines.guards.weights import State, Weights, check_arguments
from python_worker.exceptions import Conflict, InvalidArgument


class Engine:
    """An engine with requests."""

    def __init__(self, *, requests: int = 0, paused: bool = False) -> None:
        self.requests = requests
        self.paused = paused
        self.errored = False
        self.dead_error = RuntimeError("EngineCore ended")

    def get_num_unfinished_requests(self) -> int:
        return self.requests

    async def is_paused(self) -> bool:
        return self.paused


async def works() -> str:
    await asyncio.sleep(0)
    return "worked"


async def breaks() -> None:
    await asyncio.sleep(0)
    raise RuntimeError("no")


async def opened() -> Weights:
    weights = Weights()
    await weights.start(Engine(), works, "start")
    assert weights.state is State.OPEN
    return weights


async def test_an_update_from_start_to_finish() -> None:
    weights = await opened()
    with pytest.raises(Conflict, match="finish_weight_update"):
        weights.check("generate")
    with pytest.raises(Conflict, match="finish_weight_update"):
        await weights.start(Engine(), works, "start")
    await weights.update(Engine(), works)
    assert weights.state is State.OPEN
    await weights.finish(Engine(), works)
    weights.check("generate")


async def test_running_requests_keep_an_update_from_starting() -> None:
    weights = Weights()
    calls: list[Callable[[Engine], Awaitable[object]]] = [
        lambda engine: weights.start(engine, works, "start"),
        lambda engine: weights.reload(engine, works),
        lambda engine: weights.reset(engine, works),
    ]
    for begin in calls:
        with pytest.raises(Conflict, match="pause_generation"):
            await begin(Engine(requests=2))
        assert weights.state is State.WHOLE
    await weights.start(Engine(requests=2, paused=True), works, "start")
    assert weights.state is State.OPEN


async def test_a_failed_start_opens_nothing() -> None:
    weights = Weights()
    with pytest.raises(RuntimeError):
        await weights.start(Engine(), breaks, "start")
    assert weights.state is State.WHOLE


@pytest.mark.parametrize("repair", ["reload", "start", "finish"])
async def test_every_failure_in_the_middle_can_be_repaired(repair: str) -> None:
    for fail in ("update", "finish"):
        weights = await opened()
        with pytest.raises(RuntimeError):
            await getattr(weights, fail)(Engine(), breaks)
        assert weights.state is State.BROKEN
        with pytest.raises(Conflict, match="reload_weights"):
            weights.check("generate")
        if repair == "reload":
            assert await weights.reload(Engine(), works) == "worked"
        else:
            if repair == "start":
                await weights.start(Engine(), works, "start")
            await weights.finish(Engine(), works)
        weights.check("generate")


async def test_a_failed_reload_can_be_repeated() -> None:
    weights = Weights()
    with pytest.raises(RuntimeError):
        await weights.reload(Engine(), breaks)
    assert weights.state is State.BROKEN
    await weights.reload(Engine(), works)
    weights.check("generate")


async def test_a_reload_refused_before_it_touched_anything_leaves_the_weights() -> None:
    async def refuses() -> None:
        raise Exception("Call to collective_rpc method failed: Model reloading with `dummy` format")

    weights = Weights()
    with pytest.raises(Exception, match="dummy"):
        await weights.reload(Engine(), refuses)
    assert weights.state is State.WHOLE


@pytest.mark.parametrize(
    ("method", "args", "kwargs", "said"),
    [
        ("reload_weights", (), {"weight_path": "/m"}, "weight_path.*weights_path"),
        ("reload_weights", (None, "/m", True, 1), None, "too many"),
        ("reload_weights", (None,), {"weights_iterator": []}, "multiple values"),
        ("reload_weights", (), {"weights_path": 7}, "weights_path: wants"),
        ("reload_weights", (), {1: 2}, "strings"),
        ("reset_weights", (1,), {}, "parameters are: none"),
    ],
)
def test_arguments_that_a_worker_does_not_take_are_refused(
    method: str, args: tuple[Any, ...], kwargs: Any, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        check_arguments(method, args, kwargs)


def test_arguments_that_a_worker_takes_pass() -> None:
    check_arguments("reset_weights", (), None)
    check_arguments("reload_weights", (), {})
    check_arguments("reload_weights", (None, "/m"), {"is_checkpoint_format": True})
    check_arguments("reload_weights", (), {"weights_path": "/m", "weights_iterator": None})


async def test_a_reload_leaves_an_open_update_open() -> None:
    weights = await opened()
    await weights.reload(Engine(), works)
    assert weights.state is State.OPEN


async def test_nothing_gets_in_while_weights_load() -> None:
    weights = Weights()
    may_end = asyncio.Event()
    loading = asyncio.ensure_future(weights.reload(Engine(), may_end.wait))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for refused in (
        weights.reload(Engine(), works),
        weights.start(Engine(), works, "start"),
    ):
        with pytest.raises(Conflict, match="being reloaded"):
            await refused
    with pytest.raises(Conflict, match="being reloaded"):
        weights.check("generate")
    may_end.set()
    await loading
    assert weights.state is State.WHOLE


async def test_of_two_at_the_same_time_one_gets_in() -> None:
    weights = Weights()
    both = [weights.reload(Engine(), works), weights.reload(Engine(), works)]
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert first == "worked"
    assert isinstance(second, Conflict)
    assert weights.state is State.WHOLE


async def test_a_caller_that_leaves_does_not_end_what_it_began() -> None:
    weights = Weights()
    may_end = asyncio.Event()
    starting: Any = asyncio.ensure_future(weights.start(Engine(), may_end.wait, "start"))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    may_end.set()
    await asyncio.gather(*weights._calls._running)
    assert weights.state is State.OPEN


@pytest.mark.parametrize("method", ["update", "finish", "reload"])
async def test_a_dead_engine_is_waited_for_no_longer(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VLLM would never answer, and the task would keep the engine."""
    monkeypatch.setattr(core_calls, "LOOK_SECONDS", 0.001)
    weights, engine = await opened(), Engine()
    running: Any = asyncio.ensure_future(getattr(weights, method)(engine, asyncio.Event().wait))
    await asyncio.sleep(0)
    engine.errored = True
    with pytest.raises(RuntimeError, match="EngineCore ended"):
        await running
    await asyncio.sleep(0)
    assert not weights._calls._running
