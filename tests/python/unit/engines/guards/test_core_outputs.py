"""Aborts that nobody asked for wait until EngineCore answers; an expected end is not logged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from python_worker.engines.guards.core_outputs import CoreOutputs
from python_worker.testing.fake_vllm.errors import EngineDeadError


@dataclass
class Output:
    """An output of one request."""

    request_id: str
    finish_reason: str | None = None
    new_token_ids: tuple[int, ...] = ()
    new_logprobs: None = None
    new_prompt_logprobs_tensors: None = None


@dataclass
class Step:
    """What vLLM's EngineCoreOutputs are."""

    outputs: list[Output]
    engine_index: int = 0
    timestamp: float = 0.0
    weight_version: str | None = None


@dataclass
class Core:
    """As much of vLLM's client as is looked at."""

    answers: asyncio.Future[bool]
    outputs_queue: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    asked: int = 0

    async def get_output_async(self) -> Any:
        outputs = await self.outputs_queue.get()
        if isinstance(outputs, Exception):
            raise outputs
        return outputs

    async def is_scheduler_paused_async(self) -> bool:
        self.asked += 1
        return await asyncio.shield(self.answers)


def outputs_of(core: Any) -> Any:
    return CoreOutputs(core, lambda _: None)


@pytest.fixture
async def core() -> Core:
    return Core(asyncio.get_running_loop().create_future())


async def test_steps_pass_and_are_counted(core: Core) -> None:
    outputs = outputs_of(core)
    for step in (Step([Output("a"), Output("b", "stop")]), Step([]), Step([Output("a", "length")])):
        core.outputs_queue.put_nowait(step)
        assert await outputs.get() is step
    assert outputs.received == 3
    assert core.asked == 0


async def test_an_abort_waits_until_the_engine_answers(core: Core) -> None:
    outputs = outputs_of(core)
    core.outputs_queue.put_nowait(Step([Output("a", "abort"), Output("b"), Output("c", "abort")]))
    assert (await outputs.get()).outputs == [Output("b")]
    later = asyncio.create_task(outputs.get())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not later.done()
    core.answers.set_result(False)
    assert (await later).outputs == [Output("a", "abort"), Output("c", "abort")]
    assert core.asked == 1


async def test_every_abort_of_an_engine_that_lives_comes(core: Core) -> None:
    core.answers.set_result(False)
    outputs = outputs_of(core)
    for n in range(100):
        core.outputs_queue.put_nowait(Step([Output(str(n), "abort")]))
    came: list[str] = []
    while len(came) < 100:
        came += [output.request_id for output in (await outputs.get()).outputs]
    assert came == [str(n) for n in range(100)]
    # The same id again is as doubtful as the first time.
    core.answers = asyncio.get_running_loop().create_future()
    core.outputs_queue.put_nowait(Step([Output("7", "abort")]))
    assert (await outputs.get()).outputs == []


async def test_an_abort_that_was_asked_for_comes_at_once(core: Core) -> None:
    outputs = outputs_of(core)
    outputs.aborting = 1
    step = Step([Output("a", "abort")])
    core.outputs_queue.put_nowait(step)
    assert (await outputs.get()).outputs == [Output("a", "abort")]
    assert core.asked == 0


async def test_a_dead_engine_is_not_waited_for(core: Core) -> None:
    outputs = outputs_of(core)
    before = asyncio.all_tasks()
    core.outputs_queue.put_nowait(Step([Output("a", "abort")]))
    await outputs.get()
    (asking,) = asyncio.all_tasks() - before
    core.outputs_queue.put_nowait(RuntimeError("dead"))
    with pytest.raises(RuntimeError, match="dead"):
        await outputs.get()
    await asyncio.wait([asking])
    assert asking.cancelled()


@pytest.mark.parametrize(
    "error", [RuntimeError("Engines returned different results"), Exception("Call to x failed")]
)
async def test_an_engine_that_answers_with_an_error_lives(core: Core, error: Exception) -> None:
    """Of several engines one may be paused and another not."""
    outputs = outputs_of(core)
    core.answers.set_exception(error)
    for n in range(2):
        core.outputs_queue.put_nowait(Step([Output(str(n), "abort")]))
        assert (await outputs.get()).outputs == []
        async with asyncio.timeout(30):
            assert (await outputs.get()).outputs == [Output(str(n), "abort")]
        core.answers = asyncio.get_running_loop().create_future()
        core.answers.set_result(False)
    assert core.asked == 2


@pytest.mark.parametrize("error", [Exception("Server shutting down"), EngineDeadError()])
async def test_the_aborts_of_an_engine_that_is_ending_never_come(
    core: Core, error: Exception
) -> None:
    outputs = outputs_of(core)
    core.answers.set_exception(error)
    for n in range(2):
        before = asyncio.all_tasks()
        core.outputs_queue.put_nowait(Step([Output(str(n), "abort")]))
        assert (await outputs.get()).outputs == []
        await asyncio.wait(asyncio.all_tasks() - before)
        assert core.outputs_queue.empty()
    assert core.asked == 2
