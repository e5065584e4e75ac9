"""The server's side of HTTP/2 in a test's hands: what it is told, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from python_worker.buffers import Buffer
from python_worker.wire.http2 import Http2
from python_worker.wire.http2_frames import ProtocolViolation
from tests.python.support.http2_frames import REQUEST, STREAM, Frame, parse, pieces, wire
from tests.python.support.native import END_HEADERS, HEADERS

RESPONSE = b"\x88the response"
ANSWER = Frame(HEADERS, END_HEADERS, STREAM, RESPONSE)


def opened() -> Http2:
    """A connection whose request has come and is answered."""
    http2 = Http2(RESPONSE)
    http2.receive(wire(REQUEST))
    assert answers(http2) == [ANSWER]
    return http2


def answers(http2: Http2) -> list[Frame]:
    frames = parse(bytes(http2.answers))
    http2.answers.clear()
    return frames


def sent(parts: Iterable[Buffer]) -> list[Frame]:
    return parse(b"".join(parts))


def broken(chunks: Iterable[bytes]) -> tuple[int, str] | None:
    """Why the connection ended, if it did."""
    http2 = Http2(RESPONSE)
    try:
        for chunk in chunks:
            http2.receive(chunk)
    except ProtocolViolation as error:
        assert str(error) == error.reason  # noqa: PT017
        return error.code, error.reason
    return None


def at_once(frames: Sequence[Frame]) -> Iterator[bytes]:
    yield wire(frames)


def one_by_one(frames: Sequence[Frame]) -> Iterator[bytes]:
    for frame in frames:
        yield frame.wire()


def in_bytes(frames: Sequence[Frame]) -> Iterator[bytes]:
    """Of each frame the first bytes one by one: what is behind them tells no more."""
    for frame in frames:
        said = frame.wire()
        yield from pieces(said[:50], [1])
        yield from pieces(said[50:], [100_000])
