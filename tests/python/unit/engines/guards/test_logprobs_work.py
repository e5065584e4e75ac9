"""Large logprobs are made in a thread; the order of a request's outputs stays."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.logprobs_work import MANY, LogprobsWork, is_large


def logprobs(positions: int, tokens: int) -> Any:
    return SimpleNamespace(logprobs=SimpleNamespace(shape=(positions, tokens)))


@dataclass
class Output:
    """An output of one request."""

    request_id: str
    number: int = 0
    new_token_ids: list[int] = field(default_factory=lambda: [7])
    new_logprobs: Any = None
    new_prompt_logprobs_tensors: Any = None
    finish_reason: str | None = None


@dataclass
class Step:
    """What vLLM's EngineCoreOutputs are."""

    outputs: list[Output]
    engine_index: int = 0
    timestamp: float = 1.5
    weight_version: str | None = "w"


class Processor:
    """Stands in for vLLM's; its work lasts until it may end."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.made: list[tuple[int, bool]] = []
        self.error: Exception | None = None

    def update_from_output(self, output: Any) -> None:
        self.may_end.wait()
        if self.error is not None:
            raise self.error
        self.made.append((output.number, threading.current_thread() is threading.main_thread()))


class Side:
    """The work of one engine with one request, "a"."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.processor = Processor()
        self.states = {"a": SimpleNamespace(logprobs_processor=self.processor)}
        core: Any = SimpleNamespace(outputs_queue=self.queue)
        self.work = LogprobsWork(core, lambda request_id: self.states.get(request_id))

    def step(self, *outputs: Output) -> list[int]:
        """A step comes; returns the numbers of the outputs that pass."""
        step: Any = Step(list(outputs))
        self.work.hold(step)
        return [output.number for output in step.outputs]

    async def back(self) -> Output:
        """The next output that is in the queue again."""
        step = await self.queue.get()
        assert (step.timestamp, step.weight_version) == (1.5, "w")
        self.work.hold(step)
        (output,) = step.outputs
        assert isinstance(output, Output)
        return output


@pytest.fixture
async def side() -> Side:
    return Side()


def large(request_id: str = "a", number: int = 0) -> Output:
    return Output(request_id, number, new_prompt_logprobs_tensors=logprobs(MANY, 1))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (Output("a"), False),
        (Output("a", new_logprobs=logprobs(1, 21)), False),
        (Output("a", new_logprobs=logprobs(1, MANY - 1)), False),
        (Output("a", new_logprobs=logprobs(1, MANY)), True),
        (Output("a", new_logprobs=logprobs(3, MANY), new_token_ids=[1, 2, 3]), False),
        (Output("a", new_prompt_logprobs_tensors=logprobs(MANY, 1)), True),
        (Output("a", new_prompt_logprobs_tensors=logprobs(10, 2)), False),
    ],
)
def test_what_is_large(output: Any, expected: bool) -> None:
    assert is_large(output) == expected


async def test_small_logprobs_pass(side: Side) -> None:
    assert side.step(Output("a", 1), Output("b", 2, new_logprobs=logprobs(1, 5))) == [1, 2]


async def test_large_logprobs_come_back_when_they_are_made(side: Side) -> None:
    assert side.step(large(number=1), Output("b", 2)) == [2]
    assert side.queue.empty()
    side.processor.may_end.set()
    output = await side.back()
    assert output.number == 1
    assert output.new_prompt_logprobs_tensors is None
    assert side.processor.made == [(1, False)]


async def test_later_outputs_of_the_request_wait_and_those_of_others_do_not(side: Side) -> None:
    assert side.step(large(number=1)) == []
    assert side.step(Output("a", 2), Output("b", 3)) == [3]
    assert side.step(large(number=4)) == []
    assert side.step(Output("a", 5, finish_reason="stop")) == []
    side.processor.may_end.set()
    assert [(await side.back()).number for _ in range(4)] == [1, 2, 4, 5]
    assert [number for number, _ in side.processor.made] == [1, 4]
    assert side.step(Output("a", 6)) == [6]


async def test_those_of_a_request_that_has_ended_are_not_made(side: Side) -> None:
    assert side.step(large("gone", 1)) == []
    assert (await side.back()).number == 1
    assert side.processor.made == []


async def test_after_an_error_everything_comes_back(side: Side) -> None:
    side.processor.error = ValueError("no logprobs")
    assert side.step(large(number=1)) == []
    assert side.step(Output("a", 2)) == []
    side.processor.may_end.set()
    first, second = await side.back(), await side.back()
    assert (first.number, second.number) == (1, 2)
