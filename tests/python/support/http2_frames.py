"""Frames of HTTP/2, each part of which may be what no client would send.

Made and read with RFC 9113's numbers, not with the worker's: a number that is wrong in the worker
is not wrong here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tests.python.support import native
from tests.python.support.native import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    RST_STREAM,
    SETTINGS,
)

PADDED = 0x8

#: The highest stream, and the largest window.
LARGEST = 2**31 - 1

#: Passed over wherever it stands, so it has to change nothing.
RESERVED = 2**31

#: The request's stream; those above it are refused.
STREAM = 5


class Error(IntEnum):
    """RFC 9113, section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


@dataclass(frozen=True)
class Frame:
    """One frame."""

    kind: int
    flags: int = 0
    stream: int = 0
    payload: bytes = b""

    def wire(self) -> bytes:
        return native.http2_frame(self.kind, self.flags, self.stream, self.payload)


def word(number: int) -> bytes:
    return number.to_bytes(4, "big")


def wire(frames: Iterable[Frame]) -> bytes:
    return b"".join(frame.wire() for frame in frames)


def parse(data: bytes) -> list[Frame]:
    """Frames that have come whole, and nothing else."""
    frames = []
    while data:
        length = int.from_bytes(data[:3], "big")
        assert len(data) >= 9 + length, data
        stream = int.from_bytes(data[5:9], "big")
        frames.append(Frame(data[3], data[4], stream, data[9 : 9 + length]))
        data = data[9 + length :]
    return frames


def data(
    content: bytes, stream: int = STREAM, *, padding: int | None = None, end: int = 0
) -> Frame:
    if padding is None:
        return Frame(DATA, end, stream, content)
    payload = bytes((padding,)) + content + b"\xee" * padding
    return Frame(DATA, end | PADDED, stream, payload)


def block(*fragments: bytes, stream: int = STREAM, flags: int = 0) -> tuple[Frame, ...]:
    """A header block in so many frames."""
    kinds = [HEADERS] + [CONTINUATION] * (len(fragments) - 1)
    ends = [0] * (len(fragments) - 1) + [END_HEADERS]
    firsts = [flags] + [0] * (len(fragments) - 1)
    return tuple(
        Frame(kind, first | end, stream, fragment)
        for kind, first, end, fragment in zip(kinds, firsts, ends, fragments, strict=True)
    )


def setting(*pairs: tuple[int, int]) -> Frame:
    return parse(native.settings(*pairs))[0]


def window_update(more: int, stream: int = 0) -> Frame:
    return parse(native.window_update(stream, more))[0]


def reset(stream: int, code: int = Error.CANCEL) -> Frame:
    return Frame(RST_STREAM, 0, stream, word(code))


def pieces(whole: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Cut it into pieces of these sizes, over and over."""
    place = number = 0
    while place < len(whole):
        size = sizes[number % len(sizes)]
        yield whole[place : place + size]
        place, number = place + size, number + 1


REQUEST = block(b"request")
SETTINGS_ACK = Frame(SETTINGS, ACK)
