"""Large arguments are left out of their frame, and nothing else is."""

from __future__ import annotations

import random

import pytest
from google.protobuf.message import DecodeError

from python_worker.buffers import LARGE
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.wire import client_frames

BIG = random.Random(1).randbytes(LARGE)
SMALL = BIG[: LARGE - 1]


def start(call_id: int, *, args: bytes = b"", kwargs: bytes = b"") -> pb.StartCall:
    request = pb.CallRequest(
        ref="r", incarnation="i", method="take", args=args, kwargs=kwargs, timeout_ms=7
    )
    return pb.StartCall(id=call_id, request=request, credit=3)


def put_back(
    frame: pb.ClientFrame, arguments: dict[int, client_frames.LargeArguments]
) -> pb.ClientFrame:
    """The frame with what was left out of it."""
    whole = pb.ClientFrame()
    whole.CopyFrom(frame)
    for call in whole.calls:
        for name, content in arguments.get(call.id, {}).items():
            assert getattr(call.request, name) == b""
            setattr(call.request, name, bytes(content))
    return whole


FRAMES = {
    "args": pb.ClientFrame(calls=[start(1, args=BIG)]),
    "kwargs": pb.ClientFrame(calls=[start(1, kwargs=BIG)]),
    "both": pb.ClientFrame(calls=[start(1, args=BIG + b"1", kwargs=BIG + b"2")]),
    "one of several calls": pb.ClientFrame(
        calls=[start(1, args=SMALL), start(2, args=BIG, kwargs=SMALL), start(300), start(301)]
    ),
    "beside all else": pb.ClientFrame(
        calls=[start(5, args=BIG)],
        credits=[pb.Credit(call=1, items=5)],
        cancels=[1, 2, 2**63],
        releases=["a", "b"],
        inputs=[pb.Input(call=1, element=BIG)],
    ),
    "small ones that are large together": pb.ClientFrame(
        calls=[start(n, args=SMALL) for n in range(1, 5)]
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_is_what_it_was_with_its_large_arguments_beside_it(name: str) -> None:
    frame = FRAMES[name]
    parsed, arguments = client_frames.parse(frame.SerializeToString())
    assert put_back(parsed, dict(arguments)) == frame
    assert all(
        len(content) >= LARGE for of_call in arguments.values() for content in of_call.values()
    )
    assert bool(arguments) == (name != "small ones that are large together")


def test_a_large_argument_is_not_copied() -> None:
    message = FRAMES["args"].SerializeToString()
    _frame, arguments = client_frames.parse(message)
    assert arguments[1]["args"].obj is message


def test_a_small_frame_goes_to_protobuf_as_it_is() -> None:
    frame = pb.ClientFrame(calls=[start(1, args=b"x")])
    assert client_frames.parse(frame.SerializeToString()) == (frame, client_frames.NOTHING)


def test_what_is_nearly_a_frame_is_read_as_protobuf_reads_it_or_refused() -> None:
    dice = random.Random(3)
    whole = FRAMES["beside all else"].SerializeToString()
    # The places where something else than an argument's content is.
    places = [*range(60), *range(len(whole) - len(BIG) - 200, len(whole) - len(BIG))]
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            data[dice.choice(places)] = dice.randrange(256)
        message = bytes(data)
        try:
            parsed, arguments = client_frames.parse(message)
        except DecodeError:
            refused += 1
            continue
        assert put_back(parsed, dict(arguments)) == pb.ClientFrame.FromString(message)
    assert 0 < refused < 2000
