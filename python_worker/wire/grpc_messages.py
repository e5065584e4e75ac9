"""gRPC on top of HTTP/2, as far as the server of one bidirectional stream needs it.

A message is a prefix of five bytes and a body; a stream ends with a status in its
trailers. The Elixir module ``Vllm.Core.Wire.GRPC`` is the other end.
"""

from __future__ import annotations

import mmap
import struct
from contextlib import suppress
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

# A message that is larger is put together while its pieces come.
COPIED_AS_IT_COMES = 1024 * 1024

# From this size on, in bytes, a message has pages of its own.
MAPPED = 8 * 1024 * 1024

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


def memory_for(size: int) -> bytearray | mmap.mmap:
    """Return memory for a message: of a large one, page by page when it is filled.

    A ``bytearray`` is filled with zeros at once, which takes 50 ms for 200 MB.
    """
    if size < MAPPED:
        return bytearray(size)
    memory = mmap.mmap(-1, size)
    with suppress(OSError):  # the kernel may have none
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


class MessageReader:
    """Assembles messages from the pieces of a body."""

    def __init__(self) -> None:
        # The pieces of an incomplete message, without its prefix, and the bytes still to come.
        self._pieces: list[Buffer] = []
        self._missing = 0
        # In place of the pieces: memory for the whole of a large message, and what is there of it.
        self._memory: bytearray | mmap.mmap | None = None
        self._filled = 0
        # The bytes of an incomplete prefix.
        self._prefix = b""

    def push(self, piece: Buffer) -> list[Buffer]:
        """Add a piece; return the messages that it completes.

        Raises:
            RpcStatus: A message is too large, or is compressed, which is not supported.
        """
        if not (self._missing or self._prefix) and (message := _whole(piece)) is not None:
            return [message]
        if self._prefix:
            piece, self._prefix = self._prefix + bytes(piece), b""
        messages: list[Buffer] = []
        place, end = 0, len(piece)
        while True:
            if self._missing:
                taken = min(self._missing, end - place)
                self._add(piece[place : place + taken])
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

    def _add(self, piece: Buffer) -> None:
        if self._memory is not None:
            self._memory[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            return
        self._pieces.append(piece)
        # To join a large message at its end would hold up the loop. The memory is taken when much
        # of the message has come, not when its prefix promises it.
        come = sum(map(len, self._pieces)) if self._missing > len(piece) else 0
        if come > COPIED_AS_IT_COMES:
            memory = memory_for(come + self._missing - len(piece))
            pieces, self._pieces = self._pieces, []
            self._memory, self._filled = memory, 0
            for earlier in pieces:
                self._add(earlier)

    def _join(self) -> Buffer:
        if self._memory is not None:
            whole, self._memory = self._memory, None
            return memoryview(whole)
        first, *others = self._pieces
        self._pieces = []
        return first if not others and isinstance(first, bytes) else b"".join([first, *others])


def _whole(piece: Buffer) -> bytes | None:
    """Return the message if the piece is exactly one: nearly every message arrives like this."""
    if type(piece) is not bytes or len(piece) < PREFIX.size:
        return None
    compressed, length = PREFIX.unpack_from(piece)
    return None if compressed or length != len(piece) - PREFIX.size else piece[PREFIX.size :]
