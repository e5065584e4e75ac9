"""What is answered in the turn in which it was asked, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from python_worker import codec
from python_worker.dispatch.call import Call
from python_worker.dispatch.call_limit import CallLimit
from python_worker.dispatch.dispatcher import Dispatcher
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClasses
from python_worker.engines.builder import Builder
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.surface import async_llm
from tests.python.support.calls import Answers


class Engine:
    """An engine of somebody's, with members of every kind."""

    errored = False
    waited = 0

    @property
    def is_running(self) -> bool:
        return True

    @property
    def is_stopped(self) -> Awaitable[str]:
        return self._later("stopped")

    @property
    def items(self) -> AsyncIterator[int]:
        return self._items()

    @property
    def broken(self) -> int:
        raise KeyError("broken")

    def get_num_unfinished_requests(self) -> int:
        return 7

    def get_num_queued_tokens(self) -> Awaitable[str]:
        return self._later("queued")

    def get_kv_event_sources(self) -> AsyncIterator[int]:
        return self._items()

    def get_tokenizer(self) -> object:
        raise RuntimeError("no tokenizer")

    async def check_health(self) -> None:
        self.waited += 1

    def plain(self, n: int) -> int:
        return n

    async def _later(self, text: str) -> str:
        await asyncio.sleep(0)
        return text

    async def _items(self) -> AsyncIterator[int]:
        for n in range(3):
            yield n

    async def abort(self, request_ids: list[str], *, internal: bool) -> None:
        raise NotImplementedError


class Side:
    """A dispatcher with one engine."""

    def __init__(self) -> None:
        references = References()
        self.engine = Engine()
        served = async_llm(Builder())
        self.ref = references.hold(self.engine, self, served=served, pin=True)
        watches = Watches(announce=lambda notice: None)
        limit = CallLimit(10)
        self.dispatcher = Dispatcher(
            references, ServedClasses([served]), watches=watches, limit=limit
        )

    def start(self, method: str, *args: object) -> tuple[Answers, asyncio.Task[None] | None]:
        request = pb.CallRequest(
            ref=self.ref.id,
            incarnation=self.ref.incarnation,
            method=method,
            args=codec.encode(list(args)) if args else b"",
        )
        answers = Answers()
        return answers, self.dispatcher.start(Call(request, answers, holder=self))


@pytest.fixture
def side() -> Side:
    return Side()


AT_ONCE: dict[str, Any] = {"is_running": True, "get_num_unfinished_requests": 7}


@pytest.mark.parametrize("method", AT_ONCE)
async def test_what_only_reads_is_answered_at_once(method: str, side: Side) -> None:
    answers, task = side.start(method)
    assert task is None
    assert codec.decode(answers.value) == AT_ONCE[method]


REFUSED: dict[str, tuple[tuple[object, ...], str]] = {
    "broken": ((), "broken"),
    "get_tokenizer": ((), "no tokenizer"),
    "is_running": ((1,), "is a property and takes no arguments"),
    "plain": ((1, 2, 3), "too many positional arguments"),
    "no_such": ((), "has no method 'no_such'"),
    "waited_": ((), "has no method"),
    "_later": ((), "is not a public method"),
    "x" * 1_000_000: ((), "is not a public method"),
}


@pytest.mark.parametrize("method", REFUSED, ids=lambda name: name[:20])
async def test_what_is_wrong_is_refused_at_once(method: str, side: Side) -> None:
    args, words = REFUSED[method]
    answers, task = side.start(method, *args)
    assert task is None
    assert words in answers.failure.message
    assert len(answers.failure.message) < 1000


async def test_what_waits_is_a_task(side: Side) -> None:
    answers, task = side.start("check_health")
    assert task is not None
    assert answers.replies == []
    assert side.engine.waited == 0
    await task
    assert codec.decode(answers.value) is None
    assert side.engine.waited == 1


@pytest.mark.parametrize(
    ("method", "args", "value"),
    [
        ("get_num_queued_tokens", (), "queued"),
        ("is_stopped", (), "stopped"),
        ("plain", (3,), 3),
    ],
)
async def test_whatever_is_awaitable_is_awaited(
    method: str, args: tuple[object, ...], value: object, side: Side
) -> None:
    answers, task = side.start(method, *args)
    assert task is not None
    await task
    assert codec.decode(answers.value) == value


@pytest.mark.parametrize("method", ["get_kv_event_sources", "items"])
async def test_whatever_is_an_async_iterator_is_iterated(method: str, side: Side) -> None:
    answers, task = side.start(method)
    assert task is not None
    await task
    assert answers.outcomes == ["accepted", "item", "item", "item", "end"]
    assert [codec.decode(item) for item in answers.items] == [0, 1, 2]
