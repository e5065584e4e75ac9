"""A stream is accepted once, obeys credit, and is aborted wherever it is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from python_worker.exceptions import Unsupported
from python_worker.streaming.admission import ADMISSION
from python_worker.streaming.fast_path import ItemEncoding
from python_worker.streaming.stream import drain, encoding
from python_worker.wire import server_frames
from tests.python.support.streams import Replies, wait_turns


class Sink(Replies):
    """Hands out credit one by one."""

    def __init__(self, credit: int = 1000) -> None:
        super().__init__()
        self.credit = asyncio.Semaphore(credit)

    def take_place(self) -> bool:
        return False

    def return_place(self) -> None:
        self.credit.release()

    async def wait_place(self) -> None:
        await self.credit.acquire()


class Engine:
    """Generates as vLLM does: admission inside of the generator's first step.

    Every await of a request passes ``pause``, so that a test can stop it there.
    """

    def __init__(self, *, stop_at: str | None = None) -> None:
        self.stop_at = stop_at
        self.reached = asyncio.Event()
        self.live: set[str] = set()
        self.aborted: list[str] = []
        self.closed = False

    async def pause(self, place: str) -> None:
        if place == self.stop_at:
            self.reached.set()
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)

    async def generate(self, items: int) -> AsyncIterator[int]:
        admission = ADMISSION.get()
        assert admission is not None
        try:
            await self.pause("tokenize")
            admission.note("req-1")
            self.live.add("req-1")
            await self.pause("add_request")
            admission.accept()
            for item in range(items):
                await self.pause(f"item {item}")
                yield item
            self.live.discard("req-1")
        finally:
            self.closed = True

    async def abort(self, request_ids: list[str]) -> None:
        self.aborted += request_ids
        self.live.difference_update(request_ids)


class Bytes:
    """An encoder of small numbers. Nothing asks it for completions: no engine has states here."""

    cumulative = False
    plain = False

    def encode(self, item: Any) -> bytes:
        return bytes([item])

    def encode_completion(self, index: int, text: str, token_ids: Sequence[int]) -> bytes:
        raise NotImplementedError

    def encode_token(self, index: int, text: str, token_ids: Sequence[int], metrics: Any) -> bytes:
        raise NotImplementedError

    def encode_completions(self, item: Any) -> dict[int, bytes] | None:
        raise NotImplementedError

    def encode_metrics(self, metrics: Any) -> bytes:
        raise NotImplementedError

    def encode_plain(self, completions: Collection[bytes], changes: bytes) -> bytes:
        raise NotImplementedError


async def test_items_come_in_order_between_accepted_and_end() -> None:
    engine, sink = Engine(), Sink()
    last = await drain(engine.generate(3), sink, encoder=Bytes(), abort=engine.abort)
    assert last == 2
    assert sink.outcomes == ["accepted", "item", "item", "item", "end"]
    assert sink.items == [b"\x00", b"\x01", b"\x02"]
    assert engine.aborted == []


async def test_a_stream_without_items_is_accepted_and_ends() -> None:
    engine, sink = Engine(), Sink()
    last = await drain(engine.generate(0), sink, encoder=Bytes(), abort=engine.abort)
    assert last is None
    assert sink.outcomes == ["accepted", "end"]


async def test_accepted_comes_before_the_first_item_is_made() -> None:
    engine, sink = Engine(stop_at="item 0"), Sink()
    task = asyncio.create_task(drain(engine.generate(3), sink, encoder=Bytes(), abort=engine.abort))
    await engine.reached.wait()
    assert sink.outcomes == ["accepted"]
    task.cancel()
    await asyncio.wait([task])


async def test_what_is_no_request_of_an_engine_is_accepted_at_once() -> None:
    async def fails() -> AsyncIterator[int]:
        raise RuntimeError("no")
        yield

    sink = Sink()
    with pytest.raises(RuntimeError):
        await drain(fails(), sink, encoder=Bytes(), abort=None)
    assert sink.outcomes == ["accepted"]


@pytest.mark.parametrize("credit", [0, 1, 5])
async def test_no_more_items_than_credit(credit: int) -> None:
    engine, sink = Engine(), Sink(credit)
    task = asyncio.create_task(
        drain(engine.generate(100), sink, encoder=Bytes(), abort=engine.abort)
    )
    await wait_turns()
    assert sink.outcomes.count("item") == credit
    sink.credit.release()
    await wait_turns()
    assert sink.outcomes.count("item") == credit + 1
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("place", ["tokenize", "add_request", "item 0", "item 2"])
async def test_a_cancel_at_any_await_leaves_nothing_in_the_engine(place: str) -> None:
    engine, sink = Engine(stop_at=place), Sink()
    task = asyncio.create_task(drain(engine.generate(5), sink, encoder=Bytes(), abort=engine.abort))
    await engine.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.live == set()
    assert engine.closed
    assert engine.aborted == ([] if place == "tokenize" else ["req-1"])
    assert "end" not in sink.outcomes


async def test_a_cancel_while_waiting_for_credit_aborts() -> None:
    engine, sink = Engine(), Sink(credit=2)
    task = asyncio.create_task(drain(engine.generate(5), sink, encoder=Bytes(), abort=engine.abort))
    await wait_turns()
    assert sink.outcomes.count("item") == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.live == set()


async def test_an_item_that_cannot_be_encoded_aborts() -> None:
    engine, sink = Engine(), Sink()

    class Refusing(Bytes):
        def encode(self, item: Any) -> bytes:
            raise ValueError("cannot")

    with pytest.raises(ValueError, match="cannot"):
        await drain(engine.generate(5), sink, encoder=Refusing(), abort=engine.abort)
    assert engine.live == set()
    assert sink.outcomes == ["accepted"]


async def test_an_item_that_no_message_can_hold_is_refused_with_both_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_frames, "MAX_VALUE_BYTES", 10)
    engine, sink = Engine(), Sink()

    class Long(Bytes):
        def encode(self, item: Any) -> bytes:
            return b"x" * 11

    with pytest.raises(Unsupported, match="has 11 bytes; a message holds at most 10"):
        await drain(engine.generate(5), sink, encoder=Long(), abort=engine.abort)
    assert engine.live == set()
    server_frames.check_size(10)


async def test_an_abort_that_fails_does_not_hide_the_reason() -> None:
    engine, sink = Engine(stop_at="item 1"), Sink()

    async def fails(request_ids: list[str]) -> None:
        raise RuntimeError("the engine is dead")

    task = asyncio.create_task(drain(engine.generate(5), sink, encoder=Bytes(), abort=fails))
    await engine.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("finished", [False, True])
def test_the_many_logprobs_of_a_last_item_are_freed_in_the_thread(finished: bool) -> None:
    """Of an item before the last, vLLM goes on with the same lists."""
    prompt, sampled = [None, {1: "a"}], [{2: "b"}]
    output = SimpleNamespace(token_ids=[2], logprobs=sampled)
    item = SimpleNamespace(prompt_logprobs=prompt, outputs=[output], finished=finished)
    seen: list[Any] = []

    def encode(given: Any) -> bytes:
        seen.append((list(given.prompt_logprobs), list(given.outputs[0].logprobs)))
        return b"encoded"

    assert encoding(cast(ItemEncoding, SimpleNamespace(encode=encode)), item)() == b"encoded"
    assert seen == [([None, {1: "a"}], [{2: "b"}])]
    assert (prompt == []) == finished
    assert (output.logprobs == []) == finished
    assert sampled == [{2: "b"}]
