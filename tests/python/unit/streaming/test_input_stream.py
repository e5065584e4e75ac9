"""The client's elements as an async generator: what crosses what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker.exceptions import (
    BridgeError,
    DecodeError,
    InvalidArgument,
    LimitExceeded,
    ProtocolError,
)
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.input_stream import InputStream


@pytest.fixture
async def replies() -> list[Any]:
    """What was sent to the client."""
    return []


@pytest.fixture
async def stream(replies: list[Any]) -> InputStream:
    """A stream that takes whatever comes."""
    stream = InputStream(replies.append, lambda data: data)
    stream.expect(lambda value, _path: value, "prompt")
    return stream


def said(replies: list[Any]) -> list[str]:
    return [str(reply.WhichOneof("outcome")) for reply in replies]


async def reading(stream: InputStream) -> asyncio.Task[Any]:
    """Somebody who waits for an element that the client was asked for."""
    reader = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    return reader


async def test_an_element_is_asked_for_and_taken(stream: InputStream, replies: list[Any]) -> None:
    reader = await reading(stream)
    assert said(replies) == ["input_wanted"]
    stream.put(pb.Input(call=1, element=b"a"))
    assert await reader == b"a"


async def test_one_that_was_not_asked_for_breaks_the_protocol(stream: InputStream) -> None:
    with pytest.raises(ProtocolError, match="call 1 was sent an input"):
        stream.put(pb.Input(call=1, element=b"a"))
    reader = await reading(stream)
    stream.put(pb.Input(call=1, element=b"a"))
    with pytest.raises(ProtocolError, match="call 1 was sent an input"):
        stream.put(pb.Input(call=1, element=b"b"))
    assert await reader == b"a"


@pytest.mark.parametrize(
    "step",
    [
        pb.Input(call=1, element=b"a"),
        pb.Input(call=1, end=pb.End()),
        pb.Input(call=1, failure=pb.Failure(message="it ended")),
    ],
    ids=["element", "end", "failure"],
)
async def test_one_that_crosses_the_end_of_its_reader_is_left(
    step: pb.Input, stream: InputStream, replies: list[Any]
) -> None:
    """The client sent it before it cancelled, or before it heard that nobody reads."""
    reader = await reading(stream)
    reader.cancel()
    stream.put(step)  # in the same turn of the loop
    with pytest.raises(asyncio.CancelledError):
        await reader
    stream.put(step)
    assert said(replies) == ["input_wanted", "inputs_closed"]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (LimitExceeded("too deep", limit=3), LimitExceeded("prompt[1]: too deep", limit=3)),
        (DecodeError("no value"), ProtocolError("prompt[1]: no value")),
    ],
)
async def test_one_that_cannot_be_decoded_is_named_and_ends_the_stream(
    raised: Exception, expected: BridgeError, replies: list[Any]
) -> None:
    def decode(data: Any) -> Any:
        if data == b"bad":
            raise raised
        return data

    stream = InputStream(replies.append, decode)
    stream.expect(lambda value, _path: value, "prompt")
    for data in (b"good", b"bad"):
        reader = await reading(stream)
        stream.put(pb.Input(call=1, element=data))
        await asyncio.wait([reader])
    error = reader.exception()
    assert type(error) is type(expected)
    assert isinstance(error, BridgeError)
    assert (str(error), error.details) == (str(expected), expected.details)
    assert error.__cause__ is raised
    assert said(replies)[-1] == "inputs_closed"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_reader_may_end_the_stream_with_an_error(
    stream: InputStream, replies: list[Any]
) -> None:
    for thrown in (KeyError("one"), InvalidArgument("two")):
        with pytest.raises(type(thrown)) as caught:
            await stream.athrow(thrown)
        assert caught.value is thrown
    with pytest.raises(KeyError) as told:
        await stream.athrow(KeyError, KeyError("three"))
    assert told.value.args == ("three",)
    assert said(replies) == ["inputs_closed"]
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_stream_that_no_check_expects_takes_no_element(replies: list[Any]) -> None:
    stream = InputStream(replies.append, lambda data: data)
    assert not stream.expected
    reader = await reading(stream)
    stream.put(pb.Input(call=1, element=b"a"))
    with pytest.raises(InvalidArgument, match="does not accept a stream"):
        await reader
