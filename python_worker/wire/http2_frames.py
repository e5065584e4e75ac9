"""HTTP/2's frames, settings and error codes, with the numbers of RFC 9113."""

from __future__ import annotations

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# The head of a frame: its length in three bytes, its type, flags and stream.
HEAD = struct.Struct(">BHBBI")
WORD = struct.Struct(">I")
SETTING = struct.Struct(">HI")

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)

# Flags. `HAS_PRIORITY` is RFC 9113's PRIORITY flag of a HEADERS frame.
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

# Settings.
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5

# Payloads of one size, in bytes.
PAYLOAD_BYTES = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}

# The smallest payload of a GOAWAY: the last stream and the error code.
LEAST_GOAWAY = 8

# Frames of the connection (stream 0) and of a stream. A WINDOW_UPDATE may be either.
OF_CONNECTION = frozenset({SETTINGS, PING, GOAWAY})
OF_STREAM = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION})

DEFAULT_WINDOW = 65_535
DEFAULT_FRAME = 16_384
LARGEST_WINDOW = 2**31 - 1
LARGEST_FRAME = 2**24 - 1


class Code(IntEnum):
    """Why a stream or connection ends (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    ENHANCE_YOUR_CALM = 11


class ProtocolViolation(Exception):
    """The client broke HTTP/2; the connection ends.

    Attributes:
        code: The error code of the GOAWAY frame.
        reason: What the client did, for a person.
    """

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """Return the nine bytes before a frame's payload."""
    return HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream)


def check(holds: bool, code: Code, reason: str) -> None:
    """Raise ``ProtocolViolation`` unless ``holds``."""
    if not holds:
        raise ProtocolViolation(code, reason)
