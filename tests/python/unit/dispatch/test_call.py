"""Calls: what is done at once, what goes on, and that the end is told and counted once."""

from __future__ import annotations

import asyncio

import pytest

from python_worker.dispatch.call import Call, GoingOn, start
from python_worker.dispatch.call_limit import CallLimit
from python_worker.exceptions import (
    BridgeError,
    Cancelled,
    Draining,
    InvalidArgument,
    Overloaded,
    Unsupported,
)
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.input_stream import InputStream
from python_worker.streaming.progress import Progress
from tests.python.support.calls import Answers

KINDS = {
    Cancelled: pb.FAILURE_KIND_CANCELLED,
    Draining: pb.FAILURE_KIND_DRAINING,
    Overloaded: pb.FAILURE_KIND_OVERLOADED,
}


class Speechless(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Performed:
    """Carries calls out as a test needs it, at most two at once."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0
        self.limit = CallLimit(2)

    def perform(self, call: Call) -> GoingOn | None:
        self.limit.check()
        going_on = self.carry_out(call)
        if going_on is not None:
            self.limit.enter()
            call.when_over(self.limit.leave)
        return going_on

    def start(self, call: Call) -> asyncio.Task[None] | None:
        return start(call, self.perform)

    def carry_out(self, call: Call) -> GoingOn | None:
        what = call.request.method
        if what == "fail":
            raise Draining("the worker is stopping")
        if what == "exit":
            raise SystemExit(1)
        if what == "speechless":
            raise Speechless
        if what != "at_once":
            return self.wait(call)
        call.return_value([b"there"])
        return None

    async def wait(self, call: Call) -> None:
        self.begun += 1
        await self.go.wait()
        if call.request.method == "fail_later":
            raise Draining("the worker is stopping")
        if call.request.method == "speechless_later":
            raise Speechless
        call.return_value([b"there"])

    def call(self, method: str, timeout_ms: int = 0) -> tuple[Call, Answers]:
        replies = Answers()
        request = pb.CallRequest(class_name="Thing", method=method, timeout_ms=timeout_ms)
        return Call(request, replies, holder=self), replies


@pytest.fixture
def performed() -> Performed:
    return Performed()


async def assert_room(performed: Performed) -> None:
    """No call is counted any more: two find room, and a third does not."""
    performed.go.clear()
    begun = [performed.call("wait") for _ in range(3)]
    tasks = [performed.start(call) for call, _ in begun]
    assert [task is None for task in tasks] == [False, False, True]
    assert begun[2][1].failure.kind == KINDS[Overloaded]
    performed.go.set()
    await asyncio.wait([task for task in tasks if task is not None])
    assert all(replies.value == b"there" for _, replies in begun[:2])


async def test_what_needs_no_waiting_is_over_when_it_was_started(performed: Performed) -> None:
    for _ in range(5):
        call, replies = performed.call("at_once")
        assert performed.start(call) is None
        assert replies.value == b"there"
        call.stop(Cancelled("too late"))
        assert len(replies.replies) == 1
    await assert_room(performed)


async def test_what_fails_at_once_has_its_failure_at_once(performed: Performed) -> None:
    for _ in range(5):
        call, replies = performed.call("fail")
        assert performed.start(call) is None
        assert replies.failure.kind == KINDS[Draining]
    call, replies = performed.call("exit")
    assert performed.start(call) is None
    assert replies.failure.kind == pb.FAILURE_KIND_PYTHON
    await assert_room(performed)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("reason", [Cancelled("by its client"), Draining("by the worker")])
async def test_a_call_that_is_stopped_says_why_and_gives_its_room_back(
    turns: int, reason: BridgeError, performed: Performed
) -> None:
    call, replies = performed.call("wait")
    task = performed.start(call)
    assert task is not None
    for _ in range(turns):
        await asyncio.sleep(0)
    call.stop(reason)
    call.stop(Cancelled("the first reason counts"))
    await asyncio.wait([task])
    assert replies.failure.kind == KINDS[type(reason)]
    # Stopped in its first turn, nothing of it was begun.
    assert performed.begun == (1 if turns else 0)
    await assert_room(performed)


@pytest.mark.parametrize("method", ["wait", "fail_later"])
async def test_a_call_that_goes_on_ends_once(method: str, performed: Performed) -> None:
    call, replies = performed.call(method)
    task = performed.start(call)
    assert task is not None
    assert not replies.replies
    performed.go.set()
    await task
    assert replies.outcomes == ["value" if method == "wait" else "failure"]
    call.stop(Cancelled("too late"))
    await asyncio.sleep(0)
    assert len(replies.replies) == 1
    await assert_room(performed)


async def test_a_deadline_is_for_what_goes_on(performed: Performed) -> None:
    call, replies = performed.call("at_once", timeout_ms=1)
    assert performed.start(call) is None
    assert replies.value == b"there"
    call, replies = performed.call("wait", timeout_ms=1)
    task = performed.start(call)
    assert task is not None
    await task
    assert replies.failure.kind == pb.FAILURE_KIND_TIMEOUT
    await assert_room(performed)


@pytest.mark.parametrize("method", ["speechless", "speechless_later"])
async def test_an_error_that_cannot_be_described_is_told_by_its_name(
    method: str, performed: Performed
) -> None:
    call, replies = performed.call(method)
    performed.go.set()
    if (task := performed.start(call)) is not None:
        await task
    assert replies.failure.kind == pb.FAILURE_KIND_PYTHON
    assert replies.failure.type.endswith(".Speechless")
    assert "cannot be described" in replies.failure.message
    await assert_room(performed)


async def test_a_stream_is_refused_where_only_its_elements_could_be_checked(
    performed: Performed,
) -> None:
    call, _ = performed.call("tokenize")
    call.check_inputs()  # It has none.
    inputs = call.open_inputs(bytes)
    with pytest.raises(InvalidArgument, match=r"tokenize\(\) takes no stream in this place"):
        call.check_inputs()
    inputs.expect(lambda value, path: value, "prompt")
    call.check_inputs()
    with pytest.raises(InvalidArgument, match="only one argument of a call may be a stream"):
        call.open_inputs(bytes)
    inputs.withdraw()


class WithoutInputs(Answers):
    """Where replies go of a client that cannot send elements."""

    def route_inputs(self, inputs: InputStream) -> None:
        raise Unsupported("this client cannot send a stream")


async def test_a_client_that_cannot_send_elements_has_no_stream() -> None:
    call = Call(pb.CallRequest(method="generate"), WithoutInputs(), holder=object())
    for _ in range(2):
        with pytest.raises(Unsupported, match="cannot send a stream"):
            call.open_inputs(bytes)
        assert call.inputs is None


@pytest.mark.parametrize(
    "large", [{}, {"args": b"A"}, {"kwargs": b"K"}, {"args": b"A", "kwargs": b"K"}]
)
async def test_large_arguments_take_the_place_of_the_requests_once(large: dict[str, bytes]) -> None:
    request = pb.CallRequest(method="echo", args=b"a", kwargs=b"k")
    views = {name: memoryview(data) for name, data in large.items()}
    call = Call(request, Answers(), holder=object(), large=views)
    args, kwargs = call.take_arguments()
    assert (bytes(args), bytes(kwargs)) == (large.get("args", b"a"), large.get("kwargs", b"k"))
    # Read once, so that nothing keeps them.
    assert call.take_arguments() == (b"a", b"k")


async def test_progress_is_told_until_the_call_has_its_last_reply(performed: Performed) -> None:
    call, replies = performed.call("build")
    report = call.progress_reporter()
    for done in (1, 2):
        report(Progress("loading", done, 2, 0.5, ""))
    await asyncio.sleep(0)
    assert [reply.progress.done for reply in replies.replies] == [1, 2]
    report(Progress("loading", 2, 2, 0.5, ""))
    call.return_value([b"there"])
    await asyncio.sleep(0)
    assert replies.outcomes == ["progress", "progress", "value"]

    failing, replies = performed.call("fail")
    report = failing.progress_reporter()
    report(Progress("loading", 1, 2, 0.5, ""))
    performed.start(failing)
    await asyncio.sleep(0)
    assert replies.outcomes == ["failure"]
