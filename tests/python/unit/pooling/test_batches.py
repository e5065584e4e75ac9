"""The requests of a batch at the same time, on an engine that a test lets answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from python_worker.exceptions import Cancelled, InputFailed, Kind, LimitExceeded
from python_worker.pooling import batches
from python_worker.pooling.batches import Batch, at_once, check_output, chunks, the_reason
from python_worker.pooling.requests import Request
from python_worker.streaming.admission import ADMISSION


def output(number: float, **fields: Any) -> Any:
    data = np.array([number], np.float32)
    return SimpleNamespace(outputs=SimpleNamespace(data=data), error=None, **fields)


class EngineDeadError(Exception):
    """As vLLM's, which is known by its name."""


EngineDeadError.__module__ = "vllm.v1.engine.exceptions"
EngineDeadError.__qualname__ = "EngineDeadError"


class Engine:
    """Answers a request with its prompt, as far as its script lets it.

    Attributes:
        held: Whether requests wait for ``go``.
        running: The ids of those that are in it.
        most: How many were at the same time.
        arrived: Set when as many as are expected are in it.
        aborted: The ids that were aborted.
        options: What else came with each request.
    """

    def __init__(
        self, script: dict[int, Any] | None = None, *, held: bool = False, expected: int = 3
    ) -> None:
        self.vllm_config = SimpleNamespace(
            scheduler_config=SimpleNamespace(max_num_seqs=4, max_num_queued_reqs=None)
        )
        self._script = script or {}
        self.go = asyncio.Event()
        if not held:
            self.go.set()
        self.running: set[str] = set()
        self.most = 0
        self.aborted: list[str] = []
        self.options: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self._expected = expected

    async def encode(
        self,
        prompt: int,
        params: Any,
        request_id: str,
        *,
        lora_request: Any,
        priority: int,
        **options: Any,
    ) -> AsyncIterator[Any]:
        self.options.append(options)
        admission = ADMISSION.get()
        assert admission is not None
        admission.note(f"core-{request_id}")
        self.running.add(request_id)
        self.most = max(self.most, len(self.running))
        if len(self.running) == self._expected:
            self.arrived.set()
        try:
            answer = self._script.get(prompt)
            if isinstance(answer, Exception):
                raise answer
            await self.go.wait()
            yield answer or output(prompt)
        finally:
            self.running.discard(request_id)


class Renderer:
    """Gives the engine the number of a request, or what stands for it."""

    def __init__(self, failures: dict[int, Exception] | None = None) -> None:
        self._failures = failures or {}
        self.chunks: list[int] = []

    async def render(self, requests: Sequence[Request]) -> list[Any]:
        self.chunks.append(len(requests))
        ready = {"params": None, "lora_requests": None, "priorities": 0}
        return [self._failures.get(it.index, {**ready, "prompts": it.index}) for it in requests]


def requests(count: int) -> list[Request]:
    return [Request("inputs", number, dict, 1) for number in range(count)]


def batch(engine: Engine, count: int, renderer: Any = None, **options: Any) -> Batch:
    async def abort(of: Any, ids: Iterable[str]) -> None:
        of.aborted += ids

    renderer = renderer or Renderer()
    return Batch(engine, renderer, requests(count), "id", abort=abort, **options)


async def test_outputs_are_in_the_order_of_the_requests() -> None:
    outputs = await batch(Engine(), 50, keep=lambda it: int(it.outputs.data[0])).outputs()
    assert outputs == list(range(50))


async def test_each_request_gets_the_options_of_the_batch() -> None:
    engine = Engine()
    headers = {"traceparent": "00-1-2-01"}
    await batch(engine, 2, options={"trace_headers": headers}).outputs()
    assert engine.options == [{"trace_headers": headers}] * 2


async def test_an_engine_has_twice_what_a_step_takes() -> None:
    engine = Engine(held=True, expected=8)
    task = asyncio.ensure_future(batch(engine, 50).outputs())
    await engine.arrived.wait()
    engine.go.set()
    assert len(await task) == 50
    assert engine.most == 8


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("no")])
async def test_one_that_fails_ends_the_others(error: Exception) -> None:
    engine = Engine({5: error}, held=True)
    with pytest.raises(InputFailed, match=r"^inputs\[5\]: no$"):
        await batch(engine, 50).outputs()
    assert engine.running == set()
    assert {f"core-id-{number}" for number in range(5)} <= set(engine.aborted)


async def test_one_that_cannot_be_rendered_ends_the_others() -> None:
    engine = Engine(held=True)
    renderer = Renderer({2: ValueError("too long")})
    with pytest.raises(InputFailed, match=r"^inputs\[2\]: too long$"):
        await batch(engine, 50, renderer).outputs()
    assert engine.running == set()


async def test_the_death_of_the_engine_is_told_as_it_is() -> None:
    engine = Engine({0: ValueError("no"), 3: EngineDeadError("dead")}, held=True)
    with pytest.raises(EngineDeadError, match=r"^dead$"):
        await batch(engine, 4).outputs()


async def test_a_batch_that_is_cancelled_leaves_nothing() -> None:
    engine = Engine(held=True)
    task = asyncio.ensure_future(batch(engine, 3).outputs())
    await engine.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.running == set()
    assert sorted(engine.aborted) == ["core-id-0", "core-id-1", "core-id-2"]


async def test_nothing_is_aborted_of_a_batch_that_ends_well() -> None:
    engine = Engine()
    await batch(engine, 20).outputs()
    assert engine.aborted == []


async def test_outputs_beyond_an_answer_end_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_VALUE_BYTES", 40)
    assert len(await batch(Engine(), 10).outputs()) == 10
    with pytest.raises(InputFailed, match="split the batch") as failed:
        await batch(Engine(), 11).outputs()
    assert failed.value.kind == Kind.INVALID
    assert isinstance(failed.value.__cause__, LimitExceeded)


def test_an_output_without_numbers_is_a_failure() -> None:
    check_output(output(1.0))
    empty = output(1.0)
    empty.outputs.data = np.zeros(0)
    for nothing in (None, empty):
        with pytest.raises(Cancelled):
            check_output(nothing)
    for retryable, kind in ((True, Kind.OVERLOADED), (False, Kind.ENGINE_ERROR)):
        failed = output(1.0)
        failed.error = SimpleNamespace(code="miss", message="a miss", retryable=retryable)
        with pytest.raises(Exception, match=r"^a miss$") as raised:
            check_output(failed)
        assert raised.value.kind == kind  # type: ignore[attr-defined]


def test_no_more_are_at_once_than_the_queue_admits() -> None:
    engine = Engine()
    assert at_once(engine) == 8
    for limit, wanted in ((3, 3), (100, 8), (0, 1)):
        engine.vllm_config.scheduler_config.max_num_queued_reqs = limit
        assert at_once(engine) == wanted
    assert at_once(object()) == batches.OTHERS_AT_ONCE


def test_chunks_are_of_few_and_of_short_requests() -> None:
    def sizes(*values: int) -> list[tuple[int, int]]:
        made = [Request("inputs", n, dict, it) for n, it in enumerate(values)]
        return [(part.start, part.stop) for part in chunks(made, 3)]

    half = batches.CHUNK_CHARS // 2
    assert sizes() == []
    assert sizes(1, 1, 1, 1) == [(0, 3), (3, 4)]
    assert sizes(half, half, 1, 1) == [(0, 2), (2, 4)]
    assert sizes(10 * half, 1) == [(0, 1), (1, 2)]


def test_the_reason_is_the_first_failure_or_the_engines_death() -> None:
    first, second = ValueError("first"), ValueError("second")
    inner = ExceptionGroup("inner", [first])
    assert the_reason(ExceptionGroup("all", [inner, second])) is first
    dead = EngineDeadError()
    assert the_reason(ExceptionGroup("all", [inner, dead])) is dead
