"""The windows that HTTP/2's server opens to a client: given back in halves, and no wider."""

from __future__ import annotations

import pytest

from python_worker.wire.http2 import FRAME, WINDOW, Http2
from tests.python.support.http2_frames import (
    REQUEST,
    STREAM,
    Error,
    Frame,
    block,
    data,
    pieces,
    wire,
)
from tests.python.support.http2_server import answers, at_once, broken, in_bytes, one_by_one, opened
from tests.python.support.native import DATA, WINDOW_UPDATE


def given_back(http2: Http2) -> tuple[list[int], list[int]]:
    """How far the windows of the connection and of the stream were opened."""
    given: tuple[list[int], list[int]] = [], []
    for frame in answers(http2):
        assert (frame.kind, frame.flags, len(frame.payload)) == (WINDOW_UPDATE, 0, 4)
        assert frame.stream in (0, STREAM)
        given[frame.stream == STREAM].append(int.from_bytes(frame.payload, "big"))
    return given


FLOWS = {
    "large frames": ([data(bytes(FRAME))], FRAME + 9),
    "frames of the usual size": ([data(bytes(16_384))], 16_384 + 9),
    "padded frames": ([data(bytes(900_000), padding=255)], FRAME),
    "nothing but padding": ([*[data(b"", padding=255)] * 20, data(bytes(50_000))], 200_000),
    "frames of many sizes": ([data(bytes(n)) for n in (1, 0, 700_001, 65_536, 13)], 65_536),
    "frames with others between": (
        [data(bytes(FRAME)), Frame(99, 0, 0, bytes(5)), data(bytes(5), padding=1)],
        9 + FRAME + 3,
    ),
}


@pytest.mark.parametrize("name", FLOWS)
def test_windows_are_given_back_in_halves_and_nothing_is_lost(name: str) -> None:
    frames, size = FLOWS[name]
    content = sum(len(f.payload) for f in frames if f.kind == DATA)
    body = sum(len(f.payload) - (f.payload[0] + 1 if f.flags else 0) for f in frames if not f.kind)
    said, rounds = wire(frames), max(1, 200_000 // content)
    chunks = list(pieces(said * rounds, [size]))
    http2, total, heard, updates = opened(), 0, 0, 0
    # What is left to the client, which only counts what it has sent and got back.
    window = WINDOW
    while total < 110_000_000:
        total, window = total + content * rounds, window - content * rounds
        assert window >= 0
        heard += sum(len(piece) for chunk in chunks for piece in http2.receive(chunk))
        connection, stream = given_back(http2)
        assert connection == stream
        assert all(more >= WINDOW // 2 for more in connection)
        window += sum(connection)
        updates += len(connection)
        assert WINDOW // 2 < window <= WINDOW
    assert heard * content == total * body
    assert updates >= 110_000_000 // (WINDOW // 2 + FRAME)


@pytest.mark.parametrize(
    ("frames", "taken"),
    [
        ([data(bytes(1000))], True),
        ([data(bytes(1001))], False),
        ([data(bytes(990), padding=9)], True),
        ([data(bytes(990), padding=10)], False),
        ([data(bytes(499)), data(bytes(501))], True),
        ([data(bytes(499)), data(bytes(502))], False),
        # Half of it is given back.
        ([data(bytes(500)), data(bytes(1000))], True),
        ([data(bytes(500)), data(bytes(1001))], False),
        ([data(b"", padding=99)] * 4 + [data(bytes(600))], True),
        ([data(b"", padding=99)] * 4 + [data(bytes(601))], False),
    ],
)
def test_more_data_than_the_window_allows_is_an_error(
    monkeypatch: pytest.MonkeyPatch, frames: list[Frame], taken: bool
) -> None:
    # No frame that may come is as large as half the real window, which is given back at once.
    monkeypatch.setattr("python_worker.wire.http2.WINDOW", 1000)
    for way in (at_once, one_by_one, in_bytes):
        why = broken(way([*REQUEST, *frames]))
        if taken:
            assert why is None
        else:
            assert why == (Error.FLOW_CONTROL_ERROR, "more data than the window allows")


def test_data_of_a_refused_request_counts_for_the_connection() -> None:
    http2 = opened()
    http2.receive(wire(block(b"", stream=7)))
    answers(http2)
    given = 0
    for _ in range(100):
        assert http2.receive(data(bytes(1_000_000), 7).wire()) == []
        given += sum(given_back(http2)[0])
    assert 100_000_000 - WINDOW // 2 < given <= 100_000_000
