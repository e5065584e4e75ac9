"""What HTTP/2's server says of itself and to what comes, and what it notes of a request's end."""

from __future__ import annotations

import pytest

from python_worker.wire.http2 import FRAME, WINDOW, Http2
from python_worker.wire.http2_frames import Code
from tests.python.support.http2_frames import (
    SETTINGS_ACK,
    STREAM,
    Error,
    Frame,
    block,
    data,
    parse,
    pieces,
    reset,
    setting,
    window_update,
    wire,
    word,
)
from tests.python.support.http2_server import ANSWER, RESPONSE, answers, opened, sent
from tests.python.support.native import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    PING,
)


def test_the_greeting_opens_the_windows_and_allows_one_stream_and_large_frames() -> None:
    greeting = Http2(RESPONSE).preface()
    assert parse(greeting) == [
        setting(
            (MAX_CONCURRENT_STREAMS, 1), (INITIAL_WINDOW_SIZE, WINDOW), (MAX_FRAME_SIZE, FRAME)
        ),
        window_update(WINDOW - 65_535),
    ]
    assert WINDOW == 8 * 1024 * 1024
    assert FRAME == 1024 * 1024


def test_nothing_is_said_or_noted_before_something_came() -> None:
    http2 = Http2(RESPONSE)
    assert http2.receive(b"") == []
    assert answers(http2) == []
    assert (http2.requested, http2.ended, http2.reset, http2.flow_control.blocked) == (False,) * 4


def test_a_request_is_answered_before_its_headers_are_over() -> None:
    http2 = Http2(RESPONSE)
    assert http2.receive(Frame(HEADERS, 0, STREAM, b"req").wire()) == []
    assert http2.requested
    assert answers(http2) == [ANSWER]
    http2.receive(Frame(CONTINUATION, END_HEADERS, STREAM, b"uest").wire())
    assert answers(http2) == []
    assert not http2.ended


def test_pings_and_settings_are_answered_in_their_order_and_answers_are_not() -> None:
    http2 = Http2(RESPONSE)
    pings = [Frame(PING, 0, 0, bytes([n]) * 8) for n in range(3)]
    http2.receive(wire([pings[0], setting(), SETTINGS_ACK, pings[1], setting((1, 2)), pings[2]]))
    pongs = [Frame(PING, ACK, 0, ping.payload) for ping in pings]
    assert answers(http2) == [pongs[0], SETTINGS_ACK, pongs[1], SETTINGS_ACK, pongs[2]]
    http2.receive(wire(pongs))
    assert answers(http2) == []


@pytest.mark.parametrize("padding", [None, 0, 7])
def test_the_end_is_noted_when_its_frame_is_over(padding: int | None) -> None:
    http2 = opened()
    whole = data(b"content", padding=padding, end=END_STREAM).wire()
    for byte in pieces(whole, [1]):
        assert not http2.ended
        http2.receive(byte)
    assert http2.ended
    assert not http2.reset


def test_a_reset_is_noted() -> None:
    http2 = opened()
    http2.receive(reset(STREAM - 2).wire())
    assert not http2.reset, "a stream that was passed by is closed, and not ours"
    http2.receive(reset(STREAM).wire())
    assert http2.reset
    assert not http2.ended
    http2.receive(wire([window_update(1), reset(STREAM), reset(STREAM - 2)]))
    assert http2.reset


def test_a_finish_ends_the_stream_and_drops_what_waits() -> None:
    http2 = opened()
    http2.flow_control.send([bytes(100_000)])
    assert http2.flow_control.blocked
    assert parse(http2.finish(b"trailers")) == [
        Frame(HEADERS, END_HEADERS | END_STREAM, STREAM, b"trailers")
    ]
    assert not http2.flow_control.blocked
    http2.receive(wire([window_update(100_000), window_update(100_000, STREAM)]))
    assert http2.flow_control.resume() == []


def test_a_farewell_names_the_last_stream_that_was_served() -> None:
    http2 = Http2(RESPONSE)
    assert parse(http2.goaway(Code.PROTOCOL_ERROR)) == [
        Frame(GOAWAY, 0, 0, word(0) + word(Error.PROTOCOL_ERROR))
    ]
    http2 = opened()
    http2.receive(wire(block(b"", stream=STREAM + 2)))
    assert parse(http2.goaway(Code.ENHANCE_YOUR_CALM, "why, für Menschen")) == [
        Frame(
            GOAWAY,
            0,
            0,
            word(STREAM) + word(Error.ENHANCE_YOUR_CALM) + "why, für Menschen".encode(),
        )
    ]


def test_a_second_request_is_refused_and_the_first_goes_on() -> None:
    http2 = opened()
    # The end of a refused request is not the end of the first.
    parts = http2.receive(wire([data(b"a"), *block(b"", b"", stream=7, flags=END_STREAM)]))
    assert answers(http2) == [reset(7, Error.REFUSED_STREAM)]
    parts += http2.receive(wire([data(b"b"), *block(b"", stream=9), data(b"c")]))
    assert answers(http2) == [reset(9, Error.REFUSED_STREAM)]
    assert b"".join(parts) == b"abc"
    assert (http2.ended, http2.reset) == (False, False)
    assert [frame.stream for frame in sent(http2.flow_control.send([b"answer"]))] == [STREAM]
