"""A stream is accepted once, obeys credit, and is aborted wherever it is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from python_worker import stream
from python_worker.failures import Unsupported
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.stream import ADMISSION, drain


class Outlet:
    """Collects replies; hands out credit one by one."""

    def __init__(self, credit: int = 1000) -> None:
        self.credit = asyncio.Semaphore(credit)
        self.replies: list[pb.CallReply] = []

    def send(self, reply: pb.CallReply) -> None:
        self.replies.append(reply)

    def send_item(self, item: bytes) -> None:
        self.replies.append(pb.CallReply(item=item))

    def take_place(self) -> bool:
        return False

    async def wait_place(self) -> None:
        await self.credit.acquire()

    @property
    def outcomes(self) -> list[str]:
        return [str(reply.WhichOneof("outcome")) for reply in self.replies]


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


async def wait_turns() -> None:
    """Let the loop turn far more often than 100 items need."""
    for _ in range(500):
        await asyncio.sleep(0)


def encode(item: object) -> bytes:
    assert isinstance(item, int)
    return bytes([item])


async def test_items_come_in_order_between_accepted_and_end() -> None:
    engine, outlet = Engine(), Outlet()
    await drain(engine.generate(3), outlet, encode=encode, abort=engine.abort)
    assert outlet.outcomes == ["accepted", "item", "item", "item", "end"]
    assert [reply.item for reply in outlet.replies[1:4]] == [b"\x00", b"\x01", b"\x02"]
    assert engine.aborted == []


async def test_a_stream_without_items_is_accepted_and_ends() -> None:
    engine, outlet = Engine(), Outlet()
    await drain(engine.generate(0), outlet, encode=encode, abort=engine.abort)
    assert outlet.outcomes == ["accepted", "end"]


async def test_accepted_comes_before_the_first_item_is_made() -> None:
    engine, outlet = Engine(stop_at="item 0"), Outlet()
    task = asyncio.create_task(drain(engine.generate(3), outlet, encode=encode, abort=engine.abort))
    await engine.reached.wait()
    assert outlet.outcomes == ["accepted"]
    task.cancel()
    await asyncio.wait([task])


async def test_what_is_no_request_of_an_engine_is_accepted_at_once() -> None:
    async def fails() -> AsyncIterator[int]:
        raise RuntimeError("no")
        yield

    outlet = Outlet()
    with pytest.raises(RuntimeError):
        await drain(fails(), outlet, encode=encode, abort=None)
    assert outlet.outcomes == ["accepted"]


@pytest.mark.parametrize("credit", [0, 1, 5])
async def test_no_more_items_than_credit(credit: int) -> None:
    engine, outlet = Engine(), Outlet(credit)
    task = asyncio.create_task(
        drain(engine.generate(100), outlet, encode=encode, abort=engine.abort)
    )
    await wait_turns()
    assert outlet.outcomes.count("item") == credit
    outlet.credit.release()
    await wait_turns()
    assert outlet.outcomes.count("item") == credit + 1
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("place", ["tokenize", "add_request", "item 0", "item 2"])
async def test_a_cancel_at_any_await_leaves_nothing_in_the_engine(place: str) -> None:
    engine, outlet = Engine(stop_at=place), Outlet()
    task = asyncio.create_task(drain(engine.generate(5), outlet, encode=encode, abort=engine.abort))
    await engine.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.live == set()
    assert engine.closed
    assert engine.aborted == ([] if place == "tokenize" else ["req-1"])
    assert "end" not in outlet.outcomes


async def test_a_cancel_while_waiting_for_credit_aborts() -> None:
    engine, outlet = Engine(), Outlet(credit=2)
    task = asyncio.create_task(drain(engine.generate(5), outlet, encode=encode, abort=engine.abort))
    await wait_turns()
    assert outlet.outcomes.count("item") == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.live == set()


async def test_an_item_that_cannot_be_encoded_aborts() -> None:
    engine, outlet = Engine(), Outlet()

    def refuse(item: object) -> bytes:
        raise ValueError("cannot")

    with pytest.raises(ValueError, match="cannot"):
        await drain(engine.generate(5), outlet, encode=refuse, abort=engine.abort)
    assert engine.live == set()
    assert outlet.outcomes == ["accepted"]


async def test_an_item_that_no_message_can_hold_is_refused_with_both_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "MAX_VALUE_BYTES", 10)
    engine, outlet = Engine(), Outlet()
    with pytest.raises(Unsupported, match="has 11 bytes; a message holds at most 10"):
        await drain(engine.generate(5), outlet, encode=lambda _: b"x" * 11, abort=engine.abort)
    assert engine.live == set()
    stream.check_size(10)


async def test_an_abort_that_fails_does_not_hide_the_reason() -> None:
    engine, outlet = Engine(stop_at="item 1"), Outlet()

    async def fails(request_ids: list[str]) -> None:
        raise RuntimeError("the engine is dead")

    task = asyncio.create_task(drain(engine.generate(5), outlet, encode=encode, abort=fails))
    await engine.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- The shortcut ------------------------------------------------------------


@dataclass
class Output:
    """A part of a RequestOutput: some tokens and whether they are the last."""

    tokens: list[int]
    finished: bool = False


class Collector:
    """vLLM's, as far as ``generate`` and a shortcut go."""

    def __init__(self, request_id: str = "req-1") -> None:
        self.request_id = request_id
        self.output: Output | Exception | None = None
        self.ready = asyncio.Event()
        self.kept = 0

    def put(self, output: Output | Exception) -> None:
        self.kept += 1
        if isinstance(self.output, Output) and isinstance(output, Output):
            self.output = Output(self.output.tokens + output.tokens, output.finished)
        else:
            self.output = output
        self.ready.set()

    async def get(self) -> Output:
        while (output := self.output) is None:
            await self.ready.wait()
        self.output = None
        self.ready.clear()
        if isinstance(output, Exception):
            raise output
        return output


class Places(Outlet):
    """An outlet with so many places; ``give`` makes more."""

    def __init__(self, places: int = 1000) -> None:
        super().__init__(places)
        self.places = places

    def take_place(self) -> bool:
        if self.places == 0:
            return False
        self.places -= 1
        return True

    async def wait_place(self) -> None:
        self.waiting = asyncio.get_running_loop().create_future()
        await self.waiting

    def give(self, places: int) -> None:
        self.places += places - 1
        self.waiting.set_result(None)

    @property
    def items(self) -> list[bytes]:
        return [reply.item for reply in self.replies if reply.WhichOneof("outcome") == "item"]


class Request:
    """A request whose outputs the test puts into its collector."""

    def __init__(
        self, outlet: Outlet, *, completions: int = 1, first: Output | None = None
    ) -> None:
        self.collector = Collector()
        self.completions = completions
        self.first = first
        self.aborted: list[str] = []
        self.failing = False
        self.task = asyncio.create_task(
            drain(self.generate(), outlet, encode=self.encode, abort=self.abort)
        )

    async def generate(self) -> AsyncIterator[Output]:
        admission = ADMISSION.get()
        assert admission is not None
        for index in range(self.completions - 1):
            admission.note(f"{index}_req-1")
        if self.first is not None:
            self.collector.put(self.first)
        admission.collect(self.collector)
        finished = False
        while not finished:
            output = await self.collector.get()
            finished = output.finished
            yield output

    async def abort(self, request_ids: list[str]) -> None:
        self.aborted += request_ids

    def encode(self, item: object) -> bytes:
        assert isinstance(item, Output)
        if self.failing:
            raise ValueError("cannot")
        return bytes(item.tokens)

    def put(self, *tokens: int, finished: bool = False) -> None:
        self.collector.put(Output(list(tokens), finished))


async def test_an_output_is_sent_in_the_turn_in_which_it_is_put() -> None:
    outlet = Places()
    request = Request(outlet)
    await wait_turns()
    request.put(1)
    request.put(2)
    assert outlet.items == [b"\x01", b"\x02"]
    assert request.collector.kept == 0
    request.put(3, finished=True)
    await request.task
    assert outlet.outcomes == ["accepted", "item", "item", "item", "end"]
    assert outlet.items[2] == b"\x03"
    assert outlet.places == 997
    assert "put" not in vars(request.collector)
    assert request.aborted == []


async def test_an_output_that_came_before_the_shortcut_stays_before_the_next() -> None:
    outlet = Places()
    request = Request(outlet, first=Output([1]))
    await asyncio.sleep(0)
    request.put(2)
    request.put(3)
    await wait_turns()
    request.put(4, finished=True)
    await request.task
    assert b"".join(outlet.items) == b"\x01\x02\x03\x04"


async def test_without_credit_outputs_are_merged_and_stay_in_order() -> None:
    outlet = Places(2)
    request = Request(outlet)
    await wait_turns()
    for token in range(1, 4):
        request.put(token)
    await wait_turns()
    for token in range(4, 7):
        request.put(token)
    assert outlet.items == [b"\x01", b"\x02"]
    outlet.give(10)
    await wait_turns()
    assert outlet.items[2:] == [b"\x03", b"\x04\x05\x06"]
    request.put(7)
    assert outlet.items[4:] == [b"\x07"]
    request.put(8, finished=True)
    await request.task
    assert outlet.items[5:] == [b"\x08"]
    assert outlet.places == 12 - 6


async def test_an_output_put_while_one_waits_for_its_task_does_not_overtake_it() -> None:
    outlet = Places(0)
    request = Request(outlet)
    await wait_turns()
    request.put(1)
    outlet.places = 5  # Credit has come, and the task has not run yet.
    request.put(2)
    assert outlet.items == []
    await wait_turns()
    request.put(3, finished=True)
    await request.task
    assert b"".join(outlet.items) == b"\x01\x02\x03"


async def test_several_completions_are_merged_by_vllm() -> None:
    outlet = Places()
    request = Request(outlet, completions=2)
    await wait_turns()
    request.put(1)
    request.put(2)
    assert outlet.items == []
    request.put(3, finished=True)
    await request.task
    assert outlet.items == [b"\x01\x02\x03"]


async def test_a_failure_of_the_engine_comes_after_what_was_put_before() -> None:
    outlet = Places()
    request = Request(outlet)
    await wait_turns()
    request.put(1)
    request.collector.put(RuntimeError("dead"))
    with pytest.raises(RuntimeError, match="dead"):
        await request.task
    assert outlet.items == [b"\x01"]
    assert request.aborted == ["req-1"]


async def test_an_output_that_cannot_be_encoded_fails_its_call_and_not_who_put_it() -> None:
    outlet = Places()
    request = Request(outlet)
    await wait_turns()
    request.put(1)
    request.failing = True
    request.put(2)
    request.failing = False
    request.put(3)
    with pytest.raises(ValueError, match="cannot"):
        await request.task
    assert outlet.items == [b"\x01"]
    assert request.aborted == ["req-1"]


async def test_an_output_that_no_message_can_hold_fails_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "MAX_VALUE_BYTES", 2)
    request = Request(Places())
    await wait_turns()
    request.put(1, 2, 3)
    with pytest.raises(Unsupported, match="has 3 bytes; a message holds at most 2"):
        await request.task
    assert request.aborted == ["req-1"]


async def test_what_is_put_after_the_end_of_a_call_is_not_sent() -> None:
    outlet = Places()
    request = Request(outlet)
    await wait_turns()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task
    request.put(1)
    assert outlet.outcomes == ["accepted"]
    assert request.aborted == ["req-1"]
