"""gRPC on top of HTTP/2, as far as the server of one bidirectional stream needs it.

A message is a prefix of five bytes and a body; a stream ends with a status in its
trailers. The Elixir module ``Vllm.Core.Wire.GRPC`` is the other end.
"""

from __future__ import annotations

import struct
from urllib.parse import quote

from python_worker.buffers import Buffer
from python_worker.wire.limits import MAX_MESSAGE_BYTES

PREFIX = struct.Struct(">BI")

# Status codes: https://grpc.github.io/grpc/core/md_doc_statuscodes.html
OK = 0
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16


class RpcStatus(Exception):
    """A message is refused; the stream ends with a status.

    Attributes:
        status: gRPC's status code.
        message: What is wrong with the message, for a person.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def literal(name: str, value: str) -> bytes:
    """Encode a header as an HPACK literal without indexing, so no dynamic table is needed."""
    return b"\x00" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    data = text.encode()
    # The length is an HPACK integer with a prefix of seven bits.
    if len(data) < 0x7F:
        return bytes((len(data),)) + data
    rest, length = len(data) - 0x7F, bytearray((0x7F,))
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return bytes(length) + data


# 0x20 sets the size of HPACK's dynamic table, which is not used, to zero: a client that allows a
# smaller table than the default expects to be told. 0x88 is `:status: 200` of the static table.
RESPONSE = b"\x20\x88" + literal("content-type", "application/grpc")

# Longer messages, percent-encoded, would not fit into 16 kB, the frame that every client accepts.
MAX_STATUS_CHARACTERS = 1000


def trailers(status: int, message: str = "") -> bytes:
    """Return the header block that ends a response."""
    # gRPC percent-encodes everything but printable ASCII.
    encoded = quote(message[:MAX_STATUS_CHARACTERS], safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}")
    return literal("grpc-status", str(status)) + literal("grpc-message", encoded)


def prefix(size: int) -> bytes:
    """Return the five bytes before a message of ``size`` bytes."""
    return PREFIX.pack(0, size)


class MessageReader:
    """Assembles messages from the pieces of a body."""

    def __init__(self) -> None:
        # The pieces of an incomplete message, without its prefix, and the bytes still to come.
        self._pieces: list[Buffer] = []
        self._missing = 0
        # The bytes of an incomplete prefix.
        self._prefix = b""

    def push(self, piece: Buffer) -> list[bytes]:
        """Add a piece; return the messages that it completes.

        Raises:
            RpcStatus: A message is too large, or is compressed, which is not supported.
        """
        if not (self._missing or self._prefix) and (message := _whole(piece)) is not None:
            return [message]
        if self._prefix:
            piece, self._prefix = self._prefix + bytes(piece), b""
        messages: list[bytes] = []
        place, end = 0, len(piece)
        while True:
            if self._missing:
                taken = min(self._missing, end - place)
                self._pieces.append(piece[place : place + taken])
                self._missing -= taken
                place += taken
                if self._missing:
                    return messages
                messages.append(self._join())
            if end - place < PREFIX.size:
                self._prefix = bytes(piece[place:])
                return messages
            compressed, length = PREFIX.unpack_from(piece, place)
            place += PREFIX.size
            if compressed:
                raise RpcStatus(UNIMPLEMENTED, "a message is compressed, which is not supported")
            if length > MAX_MESSAGE_BYTES:
                raise RpcStatus(
                    RESOURCE_EXHAUSTED,
                    f"a message of {length} bytes; at most {MAX_MESSAGE_BYTES} are accepted",
                )
            if not length:
                messages.append(b"")
            self._missing = length

    def _join(self) -> bytes:
        first, *others = self._pieces
        self._pieces = []
        return first if not others and isinstance(first, bytes) else b"".join([first, *others])


def _whole(piece: Buffer) -> bytes | None:
    """Return the message if the piece is exactly one: nearly every message arrives like this."""
    if type(piece) is not bytes or len(piece) < PREFIX.size:
        return None
    compressed, length = PREFIX.unpack_from(piece)
    return None if compressed or length != len(piece) - PREFIX.size else piece[PREFIX.size :]
