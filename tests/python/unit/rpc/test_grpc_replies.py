"""Where the replies of a single gRPC call go: one of them, or one item at a time."""

from __future__ import annotations

import asyncio

import pytest

from python_worker.dispatch.call import Call
from python_worker.exceptions import Unsupported
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.rpc.grpc_replies import ReplyQueue, SingleReply
from python_worker.streaming.input_stream import InputStream
from tests.python.support.calls import Answers

INPUTS_NEED_A_SESSION = "an argument that is a stream needs a Session"


class Stopped(Call):
    """A call that notes why it is stopped."""

    def __init__(self) -> None:
        super().__init__(pb.CallRequest(method="generate"), Answers(), holder="me")
        self.reasons: list[BaseException] = []

    def stop(self, reason: BaseException) -> None:
        self.reasons.append(reason)


def inputs() -> InputStream:
    return InputStream(lambda reply: None, lambda data: data)


# --- One reply


@pytest.fixture
def single() -> SingleReply:
    replies = SingleReply()
    replies.call = Stopped()
    return replies


def reasons(replies: SingleReply) -> list[str]:
    assert isinstance(replies.call, Stopped)
    return [f"{type(it).__name__}: {it}" for it in replies.call.reasons]


@pytest.mark.parametrize(
    "last", [pb.CallReply(value=b"v"), pb.CallReply(failure=pb.Failure(message="no"))]
)
def test_the_last_reply_is_kept(single: SingleReply, last: pb.CallReply) -> None:
    single.send(pb.CallReply(progress=pb.Progress(done=1)))
    single.send(last)
    assert single.reply == last
    assert reasons(single) == []


def test_a_value_is_kept_with_its_references(single: SingleReply) -> None:
    single.add_reference("r1")
    single.send_value([b"a", memoryview(b"b")], built=True)
    assert single.reply == pb.CallReply(value=b"ab", references=["r1"], built=True)
    single.send_value([b"c"])
    assert single.reply == pb.CallReply(value=b"c")


def test_a_stream_is_stopped_when_it_is_accepted(single: SingleReply) -> None:
    single.send(pb.CallReply(accepted=pb.Accepted()))
    assert reasons(single) == ["Unsupported: generate streams: use the Stream rpc"]
    assert single.reply == pb.CallReply()


async def test_a_single_reply_has_no_place_for_items_and_inputs(single: SingleReply) -> None:
    assert single.take_place() is False
    single.return_place()
    assert single.take_place() is False
    waiting = asyncio.ensure_future(single.wait_place())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    given = inputs()
    with pytest.raises(Unsupported, match=INPUTS_NEED_A_SESSION):
        single.route_inputs(given)
    given.withdraw()


# --- Several


async def taken(replies: ReplyQueue) -> list[pb.CallReply]:
    return [reply async for reply in replies]


async def test_replies_come_in_their_order_up_to_the_end() -> None:
    replies = ReplyQueue()
    accepted = pb.CallReply(accepted=pb.Accepted())
    replies.send(accepted)
    replies.add_reference("r1")
    replies.send_item(b"i")
    replies.send_item(b"j")
    replies.add_reference("r2")
    replies.send_value([b"a", b"b"], built=True)
    replies.send_value([b"c"])
    replies.close()
    assert await taken(replies) == [
        accepted,
        pb.CallReply(item=b"i", references=["r1"]),
        pb.CallReply(item=b"j"),
        pb.CallReply(value=b"ab", references=["r2"], built=True),
        pb.CallReply(value=b"c"),
    ]


async def test_an_item_waits_until_the_one_before_was_taken() -> None:
    replies = ReplyQueue()
    assert replies.take_place() is True
    assert replies.take_place() is False
    replies.send(pb.CallReply(accepted=pb.Accepted()))
    replies.send_item(b"1")
    iteration = aiter(replies)
    assert (await anext(iteration)).WhichOneof("outcome") == "accepted"
    waiting = asyncio.ensure_future(replies.wait_place())
    await asyncio.sleep(0)
    assert (await anext(iteration)).item == b"1"
    await asyncio.sleep(0)
    assert not waiting.done()  # It has been handed over; whether it has left is not known.
    replies.close()
    with pytest.raises(StopAsyncIteration):
        await anext(iteration)
    await waiting
    # The one who waited has the place.
    assert replies.take_place() is False
    replies.return_place()
    assert replies.take_place() is True


def test_what_the_iteration_has_not_reached_can_be_taken() -> None:
    replies = ReplyQueue()
    replies.send_item(b"1")
    replies.send_item(b"2")
    replies.close()
    assert [reply.item for reply in replies.left()] == [b"1", b"2"]
    assert replies.left() == []


async def test_a_stream_takes_no_inputs() -> None:
    given = inputs()
    with pytest.raises(Unsupported, match=INPUTS_NEED_A_SESSION):
        ReplyQueue().route_inputs(given)
    given.withdraw()
