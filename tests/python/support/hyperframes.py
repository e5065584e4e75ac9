"""Frames and header blocks as the library hyperframe reads and writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame

#: Position -> content: a byte that is lost, repeated or moved changes what follows it.
PATTERN = b"".join(n.to_bytes(3, "big") for n in range(100_000))


def content(start: int, size: int) -> bytes:
    """Part of an endless body."""
    start %= len(PATTERN)
    part = PATTERN[start : start + size]
    return part if len(part) == size else part + content(0, size - len(part))


def frames_of(data: bytes) -> Iterator[Frame]:
    """Whole frames."""
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        yield frame
        data = data[9 + length :]


def fragmented(data: bytes, sizes: Sequence[int], padding: int | None) -> bytes:
    """The same header block in a HEADERS frame, which may be padded, and CONTINUATION frames.

    Args:
        data: The frames of one header block.
        sizes: Those of the CONTINUATION frames, over and over; all is in HEADERS if there are none.
        padding: The length of the padding of HEADERS; None for a frame without.
    """
    first, *others = frames_of(data)
    assert isinstance(first, HeadersFrame)
    block = first.data
    for other in others:
        assert isinstance(other, ContinuationFrame)
        block += other.data
    parts = [block]
    if sizes:
        parts, place = [b""], 0
        while place < len(block):
            size = sizes[(len(parts) - 1) % len(sizes)]
            parts.append(block[place : place + size])
            place += size
    first.data = parts[0]
    first.flags.discard("END_HEADERS")
    if padding is not None:
        first.flags.add("PADDED")
        first.pad_length = padding
    frames: list[HeadersFrame | ContinuationFrame] = [first]
    frames += [ContinuationFrame(first.stream_id, data=part) for part in parts[1:]]
    frames[-1].flags.add("END_HEADERS")
    return b"".join(frame.serialize() for frame in frames)
