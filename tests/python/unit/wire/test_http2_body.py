"""The body of a request over HTTP/2: handed on uncopied, and with nothing that is not of it."""

from __future__ import annotations

import random

import pytest

from tests.python.support.http2_frames import Error, Frame, block, data, pieces, reset, wire
from tests.python.support.http2_server import answers, opened
from tests.python.support.native import DATA, END_STREAM, PING


def test_the_body_is_handed_on_as_it_comes_and_not_copied() -> None:
    http2 = opened()
    whole = data(random.Random(1).randbytes(100_000)).wire()
    chunks = list(pieces(whole, [9 + 1000, 30_000, 1]))
    for number, chunk in enumerate(chunks):
        (piece,) = http2.receive(chunk)
        assert piece == (chunk[9:] if number == 0 else chunk)
        assert isinstance(piece, memoryview)
        assert piece.obj is chunk


def test_padding_is_not_of_the_body_wherever_it_is_cut() -> None:
    whole = data(b"content", padding=4).wire()
    for place in range(len(whole)):
        http2 = opened()
        parts = [*http2.receive(whole[:place]), *http2.receive(whole[place:])]
        assert b"".join(parts) == b"content"
        assert all(len(part) for part in parts)


@pytest.mark.parametrize("outer", [data(b""), Frame(99)], ids=["data", "something unknown"])
def test_what_looks_like_a_frame_within_another_is_none(outer: Frame) -> None:
    inner = [data(b"no frame"), Frame(PING, 0, 0, bytes(8)), data(b"x")]
    for frame in inner:
        said = Frame(outer.kind, 0, outer.stream, frame.wire()).wire()
        for place in range(len(said)):
            http2 = opened()
            parts = [*http2.receive(said[:place]), *http2.receive(said[place:])]
            assert b"".join(parts) == (frame.wire() if outer.kind == DATA else b"")
            assert http2.receive(data(b"behind it").wire()) == [b"behind it"]
            assert answers(http2) == []


REFUSED = [
    data(b"first"),
    *block(b"", stream=7),
    data(b"not heard of it", 7),
    data(b"second", padding=2),
    data(b"not heard of it", 7, padding=5),
    data(b"", 7, end=END_STREAM),
    data(b"third"),
    *block(b"", stream=9),
    reset(9),
    data(b"last"),
]


def test_data_of_a_refused_request_is_passed_over_wherever_it_is_cut() -> None:
    said = wire(REFUSED)
    for place in range(len(said)):
        http2 = opened()
        parts = [*http2.receive(said[:place]), *http2.receive(said[place:])]
        assert b"".join(parts) == b"firstsecondthirdlast"
        assert (http2.ended, http2.reset) == (False, False)
        refused = [reset(7, Error.REFUSED_STREAM), reset(9, Error.REFUSED_STREAM)]
        assert answers(http2) == refused
