"""Large arguments are left out of their frame, and nothing else is."""

from __future__ import annotations

import random
from collections.abc import Iterable

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


def put_back(parts: Iterable[client_frames.Part]) -> pb.ClientFrame:
    """The frame of these parts with what was left out of them."""
    whole = pb.ClientFrame()
    for part in parts:
        for call in part.frame.calls:
            for name, content in part.arguments.get(call.id, {}).items():
                assert getattr(call.request, name) == b""
                assert len(content) >= LARGE
                setattr(call.request, name, bytes(content))
        for place, content in part.elements.items():
            assert part.frame.inputs[place].element == b""
            part.frame.inputs[place].element = bytes(content)
        whole.MergeFrom(part.frame)
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
    parts = list(client_frames.parse(frame.SerializeToString()))
    left_out = any(part.arguments for part in parts)
    assert put_back(parts) == frame
    assert left_out == (name != "small ones that are large together")


def test_a_large_element_is_left_out() -> None:
    parts = list(client_frames.parse(FRAMES["beside all else"].SerializeToString()))
    (element,) = [element for part in parts for element in part.elements.values()]
    assert bytes(element) == BIG


def test_inputs_come_before_cancels_in_a_large_frame_too() -> None:
    parts = client_frames.parse(FRAMES["beside all else"].SerializeToString())
    filled = [
        name
        for part in parts
        for name in ("inputs", "cancels", "releases")
        if len(getattr(part.frame, name))
    ]
    assert filled == ["inputs", "cancels", "releases"]


def test_many_small_fields_are_parsed_in_parts() -> None:
    frame = pb.ClientFrame(credits=[pb.Credit(call=n, items=1) for n in range(1, 50_000)])
    parts = list(client_frames.parse(frame.SerializeToString()))
    assert max(part.frame.ByteSize() for part in parts) < 2 * LARGE
    assert put_back(parts) == frame


def test_a_large_argument_is_not_copied() -> None:
    message = FRAMES["args"].SerializeToString()
    (part,) = client_frames.parse(message)
    assert part.arguments[1]["args"].obj is message


def test_a_small_frame_goes_to_protobuf_as_it_is() -> None:
    frame = pb.ClientFrame(calls=[start(1, args=b"x")])
    assert list(client_frames.parse(frame.SerializeToString())) == [client_frames.Part(frame)]


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
            parts = list(client_frames.parse(message))
        except DecodeError:
            refused += 1
            continue
        assert put_back(parts) == pb.ClientFrame.FromString(message)
    assert 0 < refused < 2000
