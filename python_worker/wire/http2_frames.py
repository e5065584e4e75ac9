"""What HTTP/2 is made of: frames, settings, and the reasons why it ends (RFC 9113)."""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# What a frame begins with: its length in three bytes, its type, flags and stream.
HEAD = struct.Struct(">BHBBI")
WORD = struct.Struct(">I")
SETTING = struct.Struct(">HI")

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8

MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5

DEFAULT_WINDOW = 65_535
DEFAULT_FRAME = 16_384
LARGEST_WINDOW = 2**31 - 1
LARGEST_FRAME = 2**24 - 1


class Code(IntEnum):
    """Why a stream or connection ends, as RFC 9113 numbers it."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    ENHANCE_YOUR_CALM = 11


class ProtocolViolation(Exception):
    """The client broke the protocol; the connection ends.

    Attributes:
        code: For the GOAWAY.
        reason: For a person.
    """

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """What a frame begins with."""
    return HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream)


def check(holds: bool, code: Code, reason: str) -> None:
    """Raise ``Broken`` unless something holds."""
    if not holds:
        raise ProtocolViolation(code, reason)
