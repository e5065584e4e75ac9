"""Writes a ServerFrame from replies that are serialized already.

With 256 streams, a ServerFrame holds hundreds of items. As protobuf objects, each
was built, copied into the frame and serialized, which took a seventh of the
worker's time. A repeated field of a serialized message is the concatenation of its
elements, so an item is serialized once, when it is sent, and a frame is a join.

Only items and values are written by hand: nearly every reply is an item, and a
value may be too large to copy. Protobuf serializes everything else. A test parses
every kind of frame with protobuf.
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
    """Raise ``Unsupported`` for a value that is too large for a message."""
    if size > MAX_VALUE_BYTES:
        raise Unsupported(
            f"the value has {size} bytes; a message holds at most {MAX_VALUE_BYTES}",
            bytes=size,
            limit=MAX_VALUE_BYTES,
        )


def varint(value: int) -> bytes:
    """Encode a number as protobuf does: seven bits a byte, the lowest first."""
    if 0x80 <= value < 0x200000:  # the fast case: mostly ids of calls
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
    """Return the bytes before a field's value."""
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type)


REPLIES = tag(pb.ServerFrame, "replies", LENGTH_DELIMITED)
NOTICES = tag(pb.ServerFrame, "notices", LENGTH_DELIMITED)
LOADS = tag(pb.ServerFrame, "loads", LENGTH_DELIMITED)
CALL = tag(pb.CallReply, "call", VARINT)
ITEM = tag(pb.CallReply, "item", LENGTH_DELIMITED)
VALUE = tag(pb.CallReply, "value", LENGTH_DELIMITED)

# The varints of short lengths: those of nearly all items.
SHORT = [varint(length) for length in range(1024)]


# What stands before a reply and before an item of such lengths.
REPLY_HEADS = [REPLIES + length for length in SHORT]
ITEM_HEADS = [ITEM + length for length in SHORT]


def length(size: int) -> bytes:
    """Return a length as a varint."""
    return SHORT[size] if size < len(SHORT) else varint(size)


def call_field(call_id: int) -> bytes:
    """Return the serialized field ``call`` that all replies of one call begin with."""
    return CALL + varint(call_id)


def item(call: bytes, data: bytes) -> bytes:
    """Serialize a reply that holds an item.

    Args:
        call: The result of ``call_field``.
        data: The item, encoded.
    """
    size = len(data)
    if size < 1000:  # the reply is shorter than 1024 then
        field = ITEM_HEADS[size]
        return b"".join((REPLY_HEADS[size + len(call) + len(field)], call, field, data))
    field = ITEM + varint(size)
    return REPLIES + varint(size + len(call) + len(field)) + call + field + data


def value(call: bytes, parts: Sequence[Buffer]) -> bytes:
    """Serialize a reply that holds a value.

    Args:
        call: The result of ``call_field``.
        parts: The value, encoded; the parts are joined here, which is the only copy.
    """
    size = sum(map(len, parts))
    head = call + VALUE + length(size)
    return b"".join([REPLIES, length(len(head) + size), head, *parts])


def with_references(
    field: bytes,
    call: bytes,
    parts: Sequence[Buffer],
    references: Sequence[str],
    *,
    built: bool = False,
) -> bytes:
    """Serialize a reply that holds a value or an item with references in it.

    Args:
        field: ``VALUE`` or ``ITEM``.
        call: The result of ``call_field``.
        parts: The value, encoded; the parts are joined here, which is the only copy.
        references: The ids of the references in it.
        built: See ``CallReply``.
    """
    behind = pb.CallReply(references=references, built=built).SerializeToString()
    size = sum(map(len, parts))
    head = call + field + length(size)
    return b"".join([REPLIES, length(len(head) + size + len(behind)), head, *parts, behind])


def value_parts(call: bytes, parts: Sequence[Buffer]) -> list[Buffer]:
    """Serialize a reply that holds a value, whose parts nobody will change, without a copy."""
    size = sum(map(len, parts))
    head = call + VALUE + length(size)
    return [REPLIES + length(len(head) + size) + head, *parts]


def reply(message: pb.CallReply) -> bytes:
    """Serialize a reply of any kind."""
    data = message.SerializeToString()
    return REPLIES + length(len(data)) + data


def notice(message: pb.Notice) -> bytes:
    """Serialize a notice."""
    data = message.SerializeToString()
    return NOTICES + length(len(data)) + data


def load(message: pb.EngineLoad) -> bytes:
    """Serialize the load of an engine."""
    data = message.SerializeToString()
    return LOADS + length(len(data)) + data


def frame(elements: Iterable[bytes]) -> bytes:
    """Join serialized replies, notices and loads to a ServerFrame."""
    return b"".join(elements)
