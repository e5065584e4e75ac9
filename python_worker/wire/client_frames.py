"""Reads a ClientFrame without copying its large arguments.

Protobuf copies a field of bytes twice: into its message, and out of it again. For
a tensor these are two of the five copies between the socket and torch. So the
fields of a large frame are walked here, down to the arguments of its calls. Large
arguments become views of the frame, and protobuf parses the rest. Protobuf parses
small frames, which are nearly all, by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.message import DecodeError

from python_worker.buffers import LARGE
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

LargeArguments = Mapping[str, memoryview]
"""The large arguments of one call, by field name: ``args``, ``kwargs``."""

NOTHING: Mapping[int, LargeArguments] = MappingProxyType({})

VARINT, FIXED_64, LENGTH_DELIMITED, FIXED_32 = 0, 1, 2, 5

CALLS = pb.ClientFrame.DESCRIPTOR.fields_by_name["calls"].number
REQUEST = pb.StartCall.DESCRIPTOR.fields_by_name["request"].number
ARGUMENTS = {
    pb.CallRequest.DESCRIPTOR.fields_by_name[name].number: name for name in ("args", "kwargs")
}


class Field(NamedTuple):
    """A serialized field.

    Attributes:
        number: Its field number.
        whole: Its bytes with tag and length.
        content: The bytes of its value if it is length-delimited, else None.
    """

    number: int
    whole: memoryview
    content: memoryview | None


def parse(message: bytes) -> tuple[pb.ClientFrame, Mapping[int, LargeArguments]]:
    """Parse a ClientFrame; return it without its large arguments, and those by call id.

    Raises:
        DecodeError: The message is not a ClientFrame.
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
                given[name] = inner  # protobuf: the last of several counts
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
    """Iterate over the fields of a serialized message in order.

    Raises:
        DecodeError: The bytes are not a protobuf message.
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
            raise DecodeError(f"a field has the unknown wire type {wire_type}")
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
    raise DecodeError("a varint of more than ten bytes, or cut off")
