"""Reads a ClientFrame without copying its large arguments.

Protobuf copies a field of bytes twice: into its message, and out of it again. For
a tensor these are two of the five copies between the socket and torch. So the
fields of a large frame are walked here, down to the arguments of its calls and the
elements of its inputs. Large ones become views of the frame, and protobuf parses
the rest, in parts: millions of small fields would keep the loop for seconds.
Protobuf parses small frames, which are nearly all, by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.message import DecodeError

from python_worker.buffers import LARGE, Buffer
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

LargeArguments = Mapping[str, memoryview]
"""The large arguments of one call, by field name: ``args``, ``kwargs``."""

NOTHING: Mapping[int, LargeArguments] = MappingProxyType({})

NO_ELEMENTS: Mapping[int, memoryview] = MappingProxyType({})


class Part(NamedTuple):
    """A part of a ClientFrame, in the order of the frame.

    Attributes:
        frame: The part, without what is large.
        arguments: The large arguments of its calls, by call id.
        elements: The large elements of its inputs, by their place in ``frame.inputs``.
    """

    frame: pb.ClientFrame
    arguments: Mapping[int, LargeArguments] = NOTHING
    elements: Mapping[int, memoryview] = NO_ELEMENTS


VARINT, FIXED_64, LENGTH_DELIMITED, FIXED_32 = 0, 1, 2, 5

CALLS = pb.ClientFrame.DESCRIPTOR.fields_by_name["calls"].number
REQUEST = pb.StartCall.DESCRIPTOR.fields_by_name["request"].number
INPUTS = pb.ClientFrame.DESCRIPTOR.fields_by_name["inputs"].number
ELEMENT = pb.Input.DESCRIPTOR.fields_by_name["element"].number
CARRIED_OUT_LAST = {
    pb.ClientFrame.DESCRIPTOR.fields_by_name[name].number for name in ("cancels", "releases")
}
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


def parse(message: Buffer) -> Iterator[Part]:
    """Parse a ClientFrame, which a large one is in several parts.

    Raises:
        DecodeError: The message is not a ClientFrame.
    """
    if len(message) < LARGE:
        yield Part(pb.ClientFrame.FromString(bytes(message)))
        return
    last = bytearray()
    yield from _parts(memoryview(message), last)
    yield from _parts(memoryview(last), None)


def _parts(message: memoryview, last: bytearray | None) -> Iterator[Part]:
    """The parts of a frame; fields that are carried out last are added to ``last``."""
    others: list[memoryview] = []
    size = 0
    for field in fields(message):
        if last is not None and field.number in CARRIED_OUT_LAST:
            last += field.whole
            continue
        large = _large_part(field)
        if others and (large is not None or size >= LARGE):
            yield Part(pb.ClientFrame.FromString(b"".join(others)))
            others, size = [], 0
        if large is not None:
            yield large
        else:
            others.append(field.whole)
            size += len(field.whole)
    if others:
        yield Part(pb.ClientFrame.FromString(b"".join(others)))


def _large_part(field: Field) -> Part | None:
    """The part of a call or an input that is large; None for any other field."""
    if field.content is None or len(field.content) < LARGE:
        return None
    if field.number == CALLS:
        start, arguments = _call(field.content)
        return Part(pb.ClientFrame(calls=[start]), {start.id: arguments} if arguments else NOTHING)
    if field.number == INPUTS:
        step, element = _input(field.content)
        elements = NO_ELEMENTS if element is None else {0: element}
        return Part(pb.ClientFrame(inputs=[step]), elements=elements)
    return None


def _input(content: memoryview) -> tuple[pb.Input, memoryview | None]:
    elements = [field for field in fields(content) if field.number == ELEMENT]
    others = [field for field in fields(content) if field.number != ELEMENT]
    if len(elements) != 1 or len(others) > 1 or elements[0].content is None:
        return pb.Input.FromString(bytes(content)), None  # as nobody's encoder writes it
    step = pb.Input.FromString(b"".join(field.whole for field in others))
    step.element = b""
    return step, elements[0].content


def parse_request(message: Buffer) -> tuple[pb.CallRequest, LargeArguments]:
    """Parse a CallRequest, and leave its large arguments out of it.

    Raises:
        DecodeError: The message is not a CallRequest.
    """
    if len(message) < LARGE:
        return pb.CallRequest.FromString(bytes(message)), {}
    others, given = _request(memoryview(message))
    arguments = _take_large(others, given)
    return pb.CallRequest.FromString(b"".join(others)), arguments


def _request(content: memoryview) -> tuple[list[memoryview], dict[str, Field]]:
    """The fields of a request: all but its arguments, and these by their names."""
    others: list[memoryview] = []
    given: dict[str, Field] = {}
    for field in fields(content):
        name = ARGUMENTS.get(field.number)
        if name is None or field.content is None:
            others.append(field.whole)
        else:
            given[name] = field  # protobuf: the last of several counts
    return others, given


def _take_large(others: list[memoryview], given: Mapping[str, Field]) -> dict[str, memoryview]:
    """The arguments that are large; the others are added to the fields of the request."""
    arguments: dict[str, memoryview] = {}
    for name, field in given.items():
        if field.content is not None and len(field.content) >= LARGE:
            arguments[name] = field.content
        else:
            others.append(field.whole)
    return arguments


def _call(content: memoryview) -> tuple[pb.StartCall, LargeArguments]:
    others: list[memoryview] = []
    request: list[memoryview] | None = None
    given: dict[str, Field] = {}
    for field in fields(content):
        if field.number != REQUEST or field.content is None:
            others.append(field.whole)
            continue
        more, arguments = _request(field.content)
        request = [*(request or []), *more]
        given |= arguments
    start = pb.StartCall.FromString(b"".join(others))
    if request is None:
        return start, {}
    large = _take_large(request, given)
    start.request.MergeFromString(b"".join(request))
    start.request.SetInParent()
    return start, large


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
