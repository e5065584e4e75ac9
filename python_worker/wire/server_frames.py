"""ServerFrames as bytes, put together from replies that are bytes already.

A ServerFrame at 256 streams holds hundreds of items. Built of protobuf objects,
each is made, copied into the frame and serialized, which took a seventh of the
worker's time. But a repeated field of a protobuf message is nothing more than
its elements one behind the other, so an item is written down once, when it is
sent, and a frame is a join.

Only items and values are spelled out here: nearly every reply is an item, and a
value may be so large that no copy of it should be made. All else is serialized
by protobuf, and a test reads every frame with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from python_worker.buffers import Buffer
from python_worker.exceptions import Unsupported
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.wire.limits import MAX_VALUE_BYTES

LENGTH_DELIMITED = 2
VARINT = 0


def check_size(size: int) -> None:
    """Refuse a value that no message can hold."""
    if size > MAX_VALUE_BYTES:
        raise Unsupported(
            f"the value has {size} bytes; a message holds at most {MAX_VALUE_BYTES}",
            bytes=size,
            limit=MAX_VALUE_BYTES,
        )


def varint(value: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first."""
    if 0x80 <= value < 0x200000:  # the ids of calls, for the most part
        if value < 0x4000:
            return bytes((value & 0x7F | 0x80, value >> 7))
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def tag(message: type[pb.ServerFrame] | type[pb.CallReply], field: str, wire_type: int) -> bytes:
    """What stands before a field's value."""
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type)


REPLIES = tag(pb.ServerFrame, "replies", LENGTH_DELIMITED)
NOTICES = tag(pb.ServerFrame, "notices", LENGTH_DELIMITED)
CALL = tag(pb.CallReply, "call", VARINT)
ITEM = tag(pb.CallReply, "item", LENGTH_DELIMITED)
VALUE = tag(pb.CallReply, "value", LENGTH_DELIMITED)

# The lengths of nearly all items.
SHORT = [varint(length) for length in range(1024)]


def length(size: int) -> bytes:
    """A length as a varint."""
    return SHORT[size] if size < len(SHORT) else varint(size)


def call_field(call_id: int) -> bytes:
    """The field ``call`` of the replies of one call, for ``item``."""
    return CALL + varint(call_id)


def item(call: bytes, data: bytes) -> bytes:
    """One ``replies`` element that holds an item.

    Args:
        call: From ``call_field``.
        data: The item's value.
    """
    size = len(data)
    field = ITEM + (SHORT[size] if size < 1024 else varint(size))
    size += len(call) + len(field)
    return REPLIES + (SHORT[size] if size < 1024 else varint(size)) + call + field + data


def value(call: bytes, parts: Sequence[Buffer]) -> bytes:
    """One ``replies`` element that holds a value.

    Args:
        call: From ``call_field``.
        parts: The value's bytes, which are put together here.
    """
    size = sum(map(len, parts))
    head = call + VALUE + length(size)
    return b"".join([REPLIES, length(len(head) + size), head, *parts])


def reply(message: pb.CallReply) -> bytes:
    """One ``replies`` element that holds anything."""
    data = message.SerializeToString()
    return REPLIES + length(len(data)) + data


def notice(message: pb.Notice) -> bytes:
    """One ``notices`` element."""
    data = message.SerializeToString()
    return NOTICES + length(len(data)) + data


def frame(elements: Iterable[bytes]) -> bytes:
    """A ServerFrame of elements."""
    return b"".join(elements)
