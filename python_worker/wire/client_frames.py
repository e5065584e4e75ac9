"""Large arguments: read where they lie in their frame, not copied out of it.

Protobuf copies a field of bytes twice, into its message and out of it again. For
a tensor these are two of the five copies on its way from the socket to torch.
So a large frame is walked here, as far down as its arguments, and protobuf gets
what is left. Small frames, which are nearly all, never come here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.message import DecodeError

from python_worker.buffers import LARGE
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

LargeArguments = Mapping[str, memoryview]
"""Those of one call that were left out: ``args``, ``kwargs``."""

NOTHING: Mapping[int, LargeArguments] = MappingProxyType({})

VARINT, FIXED_64, LENGTH_DELIMITED, FIXED_32 = 0, 1, 2, 5

CALLS = pb.ClientFrame.DESCRIPTOR.fields_by_name["calls"].number
REQUEST = pb.StartCall.DESCRIPTOR.fields_by_name["request"].number
ARGUMENTS = {
    pb.CallRequest.DESCRIPTOR.fields_by_name[name].number: name for name in ("args", "kwargs")
}


class Field(NamedTuple):
    """A field of a message as it lies there.

    Attributes:
        number: The field's.
        whole: Its bytes with tag and length.
        content: Those of its value, where it has a length; else None.
    """

    number: int
    whole: memoryview
    content: memoryview | None


def parse(message: bytes) -> tuple[pb.ClientFrame, Mapping[int, LargeArguments]]:
    """Read a ClientFrame; returns it and what was left out of it, by the id of the call.

    Raises:
        DecodeError: It is none.
    """
    if len(message) < LARGE:
        return pb.ClientFrame.FromString(message), NOTHING
    others: list[memoryview] = []
    calls: list[pb.StartCall] = []
    left_out: dict[int, LargeArguments] = {}
    for field in fields(memoryview(message)):
        if field.number != CALLS or field.content is None:
            others.append(field.whole)
            continue
        start, arguments = _call(field.content)
        calls.append(start)
        if arguments:
            left_out[start.id] = arguments
    frame = pb.ClientFrame.FromString(b"".join(others))
    frame.calls.extend(calls)
    return frame, left_out


def _call(content: memoryview) -> tuple[pb.StartCall, LargeArguments]:
    others: list[memoryview] = []
    request: list[memoryview] | None = None
    given: dict[str, Field] = {}
    for field in fields(content):
        if field.number != REQUEST or field.content is None:
            others.append(field.whole)
            continue
        request = request or []
        for inner in fields(field.content):
            name = ARGUMENTS.get(inner.number)
            if name is None or inner.content is None:
                request.append(inner.whole)
            else:
                given[name] = inner  # of several the last counts
    start = pb.StartCall.FromString(b"".join(others))
    if request is None:
        return start, {}
    arguments: dict[str, memoryview] = {}
    for name, field in given.items():
        if field.content is not None and len(field.content) >= LARGE:
            arguments[name] = field.content
        else:
            request.append(field.whole)
    start.request.MergeFromString(b"".join(request))
    start.request.SetInParent()
    return start, arguments


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in their order.

    Raises:
        DecodeError: It is no message.
    """
    place, end = 0, len(message)
    while place < end:
        start = place
        tag, place = _varint(message, place)
        number, wire_type = (tag & 0xFFFFFFFF) >> 3, tag & 7
        content: memoryview | None = None
        if wire_type == LENGTH_DELIMITED:
            size, place = _varint(message, place)
            content = message[place : place + size]
            place += size
        elif wire_type == VARINT:
            _, place = _varint(message, place)
        elif wire_type == FIXED_64:
            place += 8
        elif wire_type == FIXED_32:
            place += 4
        else:
            raise DecodeError(f"a field of the wire type {wire_type}")
        if place > end:
            raise DecodeError("a field is longer than its message")
        yield Field(number, message[start:place], content)


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise DecodeError("a number that does not end")
