"""What goes out over HTTP/2: in frames and windows that the client allows, not copied, in order."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker.buffers import Buffer
from python_worker.wire.http2 import Http2
from tests.python.support.http2_frames import (
    REQUEST,
    STREAM,
    Frame,
    data,
    setting,
    window_update,
    wire,
)
from tests.python.support.http2_server import RESPONSE, opened, sent
from tests.python.support.native import DATA, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, WINDOW_UPDATE

SOURCE = random.Random(7).randbytes(2**21)


def lengths(parts: Iterable[Buffer]) -> list[int]:
    return [len(frame.payload) for frame in sent(parts)]


def open_windows(http2: Http2, *frames: Frame) -> None:
    assert http2.receive(wire(frames)) == []
    http2.answers.clear()


def test_what_fits_goes_in_one_frame_and_is_not_copied() -> None:
    http2 = opened()
    parts: list[Buffer] = [b"one", memoryview(b"two"), b"", b"three"]
    head, *others = http2.flow_control.send(parts)
    assert all(other is part for other, part in zip(others, parts, strict=True))
    assert sent([head, *others]) == [data(b"onetwothree")]
    assert not http2.flow_control.blocked


def test_what_goes_in_several_frames_or_later_is_not_copied() -> None:
    http2 = opened()
    first, second = SOURCE[:60_000], SOURCE[60_000:70_000]
    out = http2.flow_control.send([first, memoryview(second)])
    open_windows(http2, window_update(10_000), window_update(10_000, STREAM))
    out += http2.flow_control.resume()
    assert b"".join(part for part in out if len(part) != 9) == SOURCE[:70_000]
    assert [part.obj for part in out if isinstance(part, memoryview)] == [first] * 4 + [second] * 2
    for part in out:
        if isinstance(part, memoryview):
            assert part.obj is first or part.obj is second
        else:
            assert len(part) == 9, "the head of a frame"


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, 40_000, 65_535])
def test_frames_are_as_large_as_the_client_takes(size: int) -> None:
    http2 = opened()
    expected = [16_384] * (size // 16_384) + [size % 16_384] * (size % 16_384 > 0)
    assert lengths(http2.flow_control.send([bytes(size)])) == expected
    http2 = opened()
    open_windows(http2, setting((MAX_FRAME_SIZE, 30_000)))
    expected = [30_000] * (size // 30_000) + [size % 30_000]
    assert lengths(http2.flow_control.send([bytes(size)])) == expected


def test_many_parts_share_a_frame() -> None:
    http2 = opened()
    out = http2.flow_control.send([SOURCE[n : n + 100] for n in range(0, 20_000, 100)])
    assert lengths(out) == [16_384, 20_000 - 16_384]
    assert b"".join(frame.payload for frame in sent(out)) == SOURCE[:20_000]


def test_sending_stops_at_the_window_and_goes_on_when_both_are_open() -> None:
    http2 = opened()
    assert sum(lengths(http2.flow_control.send([SOURCE[:65_535]]))) == 65_535
    assert not http2.flow_control.blocked
    assert http2.flow_control.send([b"wait"]) == []
    assert http2.flow_control.blocked
    open_windows(http2, window_update(3))
    assert http2.flow_control.resume() == []
    open_windows(http2, window_update(1, STREAM))
    assert sent(http2.flow_control.resume()) == [data(b"w")]
    open_windows(http2, window_update(9, STREAM))
    assert sent(http2.flow_control.resume()) == [data(b"ai")]
    assert http2.flow_control.resume() == []
    assert http2.flow_control.send([b"", b"ing"]) == [], "not before what waits"
    open_windows(http2, window_update(9))
    assert sent(http2.flow_control.resume()) == [data(b"ting")]
    assert not http2.flow_control.blocked


def test_what_is_sent_later_stays_behind_what_could_have_gone_meanwhile() -> None:
    http2 = opened()
    http2.flow_control.send([bytes(65_535)])
    http2.flow_control.send([b"first "])
    # As of a client that reads slowly: its transport is full, so nobody asks for more.
    open_windows(http2, window_update(100), window_update(100, STREAM))
    assert sent(http2.flow_control.send([b"second"])) == [data(b"first second")]


def test_nothing_waits_behind_what_fills_the_window() -> None:
    http2 = opened()
    assert sum(lengths(http2.flow_control.send([bytes(65_535), b"", memoryview(b"")]))) == 65_535
    assert not http2.flow_control.blocked


@pytest.mark.parametrize("smaller", [0, STREAM])
@pytest.mark.parametrize("way", ["fits", "is split", "waits"])
def test_the_smaller_window_is_the_limit(smaller: int, way: str) -> None:
    http2 = opened()
    http2.flow_control.send([bytes(65_535)])
    open_windows(http2, window_update(10_000, STREAM - smaller), window_update(1000, smaller))
    if way == "fits":
        assert lengths(http2.flow_control.send([bytes(1000)])) == [1000]
    elif way == "is split":
        assert lengths(http2.flow_control.send([bytes(1001)])) == [1000]
    else:
        assert lengths(http2.flow_control.send([bytes(999)])) == [999]
        assert lengths(http2.flow_control.send([bytes(999)])) == [1]
    assert http2.flow_control.blocked is (way != "fits")
    open_windows(http2, window_update(10_000, smaller))
    rest = {"fits": 0, "is split": 1, "waits": 998}[way]
    assert sum(lengths(http2.flow_control.resume())) == rest
    assert not http2.flow_control.blocked


def test_another_initial_window_moves_the_stream_only() -> None:
    http2 = opened()
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 100)))
    assert lengths(http2.flow_control.send([bytes(1000)])) == [100]
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 150)))
    assert lengths(http2.flow_control.resume()) == [50]
    # Twice in one frame: the last holds.
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 160)))
    assert lengths(http2.flow_control.resume()) == [10]
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 1_000_000)))
    assert lengths(http2.flow_control.resume()) == [840]
    assert sum(lengths(http2.flow_control.send([bytes(100_000)]))) == 64_535


def test_an_initial_window_before_the_request_holds_for_it() -> None:
    http2 = Http2(RESPONSE)
    http2.receive(wire([setting((INITIAL_WINDOW_SIZE, 10)), *REQUEST]))
    assert lengths(http2.flow_control.send([bytes(100)])) == [10]


def test_a_window_that_became_negative_is_made_up_for_first() -> None:
    http2 = opened()
    http2.flow_control.send([bytes(50_000)])
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 10_000)))
    assert http2.flow_control.send([b"wait"]) == []
    open_windows(http2, window_update(40_000, STREAM))
    assert http2.flow_control.resume() == []
    open_windows(http2, window_update(1, STREAM))
    assert sent(http2.flow_control.resume()) == [data(b"w")]
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 10_003)))
    assert sent(http2.flow_control.resume()) == [data(b"ait")]
    assert not http2.flow_control.blocked


class Client:
    """A client's side of the windows, counted as RFC 9113 tells it to."""

    def __init__(self) -> None:
        self.connection = self.stream = self.initial = 65_535
        self.size = 16_384
        self.heard = 0

    def say(self, frame: Frame) -> None:
        number = int.from_bytes(frame.payload[-4:], "big")
        if frame.kind == WINDOW_UPDATE:
            if frame.stream:
                self.stream += number
            else:
                self.connection += number
        elif frame.payload[1] == MAX_FRAME_SIZE:
            self.size = number
        else:
            self.stream, self.initial = self.stream + number - self.initial, number

    def hear(self, parts: Sequence[Buffer]) -> None:
        for frame in sent(parts):
            assert (frame.kind, frame.flags, frame.stream) == (DATA, 0, STREAM)
            size = len(frame.payload)
            assert size <= min(self.size, self.connection, self.stream)
            assert frame.payload == SOURCE[self.heard : self.heard + size]
            self.connection -= size
            self.stream -= size
            self.heard += size


said_by_client = st.one_of(
    st.integers(1, 60_000).map(window_update),
    st.integers(1, 60_000).map(lambda more: window_update(more, STREAM)),
    st.integers(0, 120_000).map(lambda size: setting((INITIAL_WINDOW_SIZE, size))),
    st.integers(16_384, 50_000).map(lambda size: setting((MAX_FRAME_SIZE, size))),
)
parts_to_send = st.lists(
    st.one_of(st.integers(0, 10), st.integers(0, 30_000), st.just(16_384)), min_size=1, max_size=4
)


@settings(max_examples=250)
@given(
    st.lists(st.tuples(said_by_client | parts_to_send, st.booleans()), max_size=15), st.booleans()
)
def test_what_is_sent_arrives_within_the_windows_and_in_order(
    acts: list[tuple[Frame | list[int], bool]], views: bool
) -> None:
    http2, client, place = opened(), Client(), 0
    for act, paused in acts:
        if isinstance(act, Frame):
            client.say(act)
            open_windows(http2, act)
            if paused:
                continue
            client.hear(http2.flow_control.resume())
        else:
            parts: list[Buffer] = []
            for size in act:
                part = SOURCE[place : place + size]
                parts.append(memoryview(part) if views else part)
                place += size
            client.hear(http2.flow_control.send(parts))
        assert http2.flow_control.blocked is (client.heard < place)
        assert not http2.flow_control.blocked or min(client.connection, client.stream) <= 0
    open_windows(http2, window_update(2**30), window_update(2**30, STREAM))
    client.say(window_update(2**30))
    client.say(window_update(2**30, STREAM))
    client.hear(http2.flow_control.resume())
    assert client.heard == place
    assert not http2.flow_control.blocked
