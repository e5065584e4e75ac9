"""What breaks a rule of RFC 9113 ends the connection, and what only looks so does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import pytest

from python_worker.wire.http2 import FRAME
from tests.python.support.http2_frames import (
    LARGEST,
    PADDED,
    REQUEST,
    RESERVED,
    STREAM,
    Error,
    Frame,
    block,
    data,
    reset,
    setting,
    window_update,
    word,
)
from tests.python.support.http2_server import at_once, broken, in_bytes, one_by_one
from tests.python.support.native import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)

HAS_PRIORITY = 0x20

P, F, W = Error.PROTOCOL_ERROR, Error.FRAME_SIZE_ERROR, Error.FLOW_CONTROL_ERROR

TOO_LARGE = bytes(FRAME + 1)

#: What breaks a rule -> the frames, the last of which does; RFC 9113's code; a word of the reason.
BREAKS: dict[str, tuple[Sequence[Frame], Error, str]] = {
    # 4.2
    "data in too large a frame": ([*REQUEST, data(TOO_LARGE)], F, "1048577"),
    "padded data in too large a frame": ([*REQUEST, data(TOO_LARGE, padding=0)], F, "1048578"),
    "headers in too large a frame": (block(TOO_LARGE), F, "1048577"),
    "something unknown in too large a frame": ([Frame(99, 0, 0, TOO_LARGE)], F, "1048577"),
    # 5.1
    "data before the request": ([data(b"x")], P, "not open"),
    "data with an end before the request": ([data(b"x", end=END_STREAM)], P, "not open"),
    "data of a stream to come": ([*REQUEST, data(b"x", STREAM + 2)], P, "not open"),
    "data behind its end": (
        [*REQUEST, data(b"x", end=END_STREAM), data(b"x")],
        Error.STREAM_CLOSED,
        "after the end",
    ),
    "data behind headers with an end": (
        [*block(b"request", flags=END_STREAM), data(b"x")],
        Error.STREAM_CLOSED,
        "after the end",
    ),
    "a reset before the request": ([reset(STREAM)], P, "not open"),
    "a reset of a stream to come": ([*REQUEST, reset(STREAM + 2)], P, "not open"),
    # 5.1.1
    "a request on a server's stream": (block(b"request", stream=4), P, "stream 4"),
    "a window of a stream to come": ([*REQUEST, window_update(1, STREAM + 2)], P, "not open"),
    "a window of a server's stream": ([*REQUEST, window_update(1, 4)], P, "not open"),
    "a request on a lower stream": ([*REQUEST, *block(b"", stream=3)], P, "lower"),
    "headers behind the end": (
        [*block(b"request", flags=END_STREAM), *block(b"", flags=END_STREAM)],
        Error.STREAM_CLOSED,
        "after the end",
    ),
    # 6.1
    "data of no stream": ([*REQUEST, data(b"x", 0)], P, "no stream"),
    "data of no stream before the request": ([data(b"x", 0)], P, "no stream"),
    "empty data of no stream": ([data(b"", 0)], P, "no stream"),
    "as much padding as data": ([*REQUEST, Frame(DATA, PADDED, STREAM, b"\x03xy")], P, "padding"),
    "more padding than data": ([*REQUEST, Frame(DATA, PADDED, STREAM, b"\xffxyz")], P, "padding"),
    "only the length of padding": ([*REQUEST, Frame(DATA, PADDED, STREAM, b"\x01")], P, "padding"),
    "padding without its length": ([*REQUEST, Frame(DATA, PADDED, STREAM)], F, "padding"),
    # 6.2, 6.10
    "a request on no stream": (block(b"request", stream=0), P, "stream 0"),
    "headers within headers": ([Frame(HEADERS, 0, STREAM), *REQUEST], P, "continued"),
    "data within headers": ([Frame(HEADERS, 0, STREAM), data(b"x")], P, "continued"),
    "a ping within headers": (
        [Frame(HEADERS, 0, STREAM), Frame(PING, 0, 0, bytes(8))],
        P,
        "continued",
    ),
    "something unknown within headers": ([Frame(HEADERS, 0, STREAM), Frame(99)], P, "continued"),
    "data within trailers": ([*REQUEST, Frame(HEADERS, 1, STREAM), data(b"x")], P, "continued"),
    "data within a refused request": ([*REQUEST, Frame(HEADERS, 0, 7), data(b"x")], P, "continued"),
    "a continuation of another stream": (
        [Frame(HEADERS, 0, STREAM), Frame(CONTINUATION, END_HEADERS, STREAM + 2)],
        P,
        "continued",
    ),
    "a continuation of nothing": ([Frame(CONTINUATION, END_HEADERS, STREAM)], P, "no header block"),
    "a continuation of no stream": ([Frame(CONTINUATION, END_HEADERS)], P, "stream 0"),
    "a continuation behind the end of headers": (
        [*block(b"a", b"b"), Frame(CONTINUATION, END_HEADERS, STREAM)],
        P,
        "no header block",
    ),
    "more padding than headers": ([Frame(HEADERS, PADDED, STREAM, b"\x03ab")], P, "padding"),
    "more padding than headers with a priority": (
        [Frame(HEADERS, PADDED | HAS_PRIORITY, STREAM, b"\x03" + bytes(7))],
        P,
        "padding",
    ),
    "padded headers without a length": ([Frame(HEADERS, PADDED, STREAM)], F, "cut off"),
    "headers without their priority": (
        [Frame(HEADERS, HAS_PRIORITY, STREAM, bytes(4))],
        F,
        "cut off",
    ),
    # 6.3
    "a priority of no stream": ([Frame(PRIORITY, 0, 0, bytes(5))], P, "stream 0"),
    "a short priority": ([Frame(PRIORITY, 0, 1, bytes(4))], F, "4 bytes instead of 5"),
    # 6.4
    "a reset of no stream": ([*REQUEST, reset(0)], P, "stream 0"),
    "a reset without a code": (
        [*REQUEST, Frame(RST_STREAM, 0, STREAM, b"")],
        F,
        "0 bytes instead of 4",
    ),
    "a reset with more than a code": (
        [*REQUEST, Frame(RST_STREAM, 0, STREAM, bytes(5))],
        F,
        "5 bytes instead of 4",
    ),
    # 6.5
    "settings of a stream": ([*REQUEST, Frame(SETTINGS, 0, STREAM)], P, "stream 5"),
    "acknowledged settings of a stream": ([*REQUEST, Frame(SETTINGS, ACK, STREAM)], P, "stream 5"),
    "settings that are cut": ([Frame(SETTINGS, 0, 0, bytes(7))], F, "settings"),
    "settings in an acknowledgement": ([Frame(SETTINGS, ACK, 0, bytes(6))], F, "settings"),
    "a window of 2 GB": ([setting((INITIAL_WINDOW_SIZE, LARGEST + 1))], W, "window"),
    "a window of 4 GB": ([setting((1, 1), (INITIAL_WINDOW_SIZE, 2**32 - 1))], W, "window"),
    "frames below the least": ([setting((MAX_FRAME_SIZE, 16_383))], P, "16383"),
    "frames above the most": ([setting((MAX_FRAME_SIZE, 2**24))], P, "16777216"),
    "one bad setting among good ones": (
        [setting((MAX_FRAME_SIZE, 16_384), (MAX_FRAME_SIZE, 0), (MAX_FRAME_SIZE, 16_384))],
        P,
        "out of range",
    ),
    "a push setting of 2": ([setting((2, 2))], P, "push"),
    # 6.6
    "a push": ([*REQUEST, Frame(PUSH_PROMISE, END_HEADERS, STREAM, bytes(4))], P, "push"),
    # 6.7
    "a short ping": ([Frame(PING, 0, 0, bytes(7))], F, "7 bytes instead of 8"),
    "a long ping": ([Frame(PING, 0, 0, bytes(9))], F, "9 bytes instead of 8"),
    "a short answer to a ping": ([Frame(PING, ACK, 0, b"")], F, "0 bytes instead of 8"),
    "a ping of a stream": ([*REQUEST, Frame(PING, 0, STREAM, bytes(8))], P, "stream 5"),
    # 6.8
    "a farewell of a stream": ([*REQUEST, Frame(GOAWAY, 0, STREAM, bytes(8))], P, "stream 5"),
    "a short farewell": ([Frame(GOAWAY, 0, 0, bytes(7))], F, "farewell"),
    # 6.9
    "a window opened by nothing": ([window_update(0)], P, "zero"),
    "a window opened by a reserved bit": ([window_update(RESERVED)], P, "zero"),
    "a stream's window opened by nothing": ([*REQUEST, window_update(0, STREAM)], P, "zero"),
    "a window without its size": (
        [Frame(WINDOW_UPDATE, 0, 0, bytes(3))],
        F,
        "3 bytes instead of 4",
    ),
    "a window with more than its size": (
        [Frame(WINDOW_UPDATE, 0, 0, bytes(5))],
        F,
        "5 bytes instead of 4",
    ),
    # 6.9.1
    "the connection's window above 2 GB": ([window_update(LARGEST - 65_534)], W, "2147483647"),
    "the connection's window above 2 GB at last": (
        [window_update(1000), window_update(LARGEST - 66_534)],
        W,
        "2147483647",
    ),
    "the stream's window above 2 GB": ([*REQUEST, window_update(LARGEST, STREAM)], W, "2147483647"),
    # 6.9.2
    "the stream's window above 2 GB by settings": (
        [*REQUEST, window_update(1, STREAM), setting((INITIAL_WINDOW_SIZE, LARGEST))],
        W,
        "window",
    ),
}

BREAKS["headers within the request that do not end it"] = (  # 8.1
    [*REQUEST, *block(b"trailers")],
    P,
    "do not end it",
)

#: What breaks no rule, though it may look so.
ALLOWED: dict[str, Sequence[Frame]] = {
    "nothing": [],
    "the largest frame": [*REQUEST, data(bytes(FRAME))],
    "the largest frame with padding": [*REQUEST, data(bytes(FRAME - 256), padding=255)],
    "the largest headers": block(bytes(FRAME)),
    "nothing but padding": [*REQUEST, data(b"", padding=255)],
    "the highest stream": [*block(b"request", stream=LARGEST), data(b"x", LARGEST)],
    "a reserved bit before a stream": [
        *block(b"request", stream=STREAM | RESERVED),
        data(b"x"),
        data(b"x", STREAM | RESERVED),
        Frame(SETTINGS, 0, RESERVED),
        Frame(PING, 0, RESERVED, bytes(8)),
    ],
    "headers with padding and priority": [
        Frame(HEADERS, PADDED | HAS_PRIORITY | END_HEADERS, STREAM, b"\x02" + bytes(5) + b"x" * 9)
    ],
    "empty headers in many frames": block(*[b""] * 50),
    "trailers": [*REQUEST, data(b"x"), *block(b"trailers", b"", flags=END_STREAM)],
    "flags without a meaning": [
        Frame(SETTINGS, 0xFE),
        Frame(PING, 0xFE, 0, bytes(8)),
        Frame(WINDOW_UPDATE, 0xFF, 0, word(1)),
        *block(b"request", flags=0xD2),
        Frame(DATA, 0xF6, STREAM, b"x"),
        Frame(RST_STREAM, 0xFF, STREAM, bytes(4)),
    ],
    "frames that nobody knows": [Frame(10), Frame(255, 255, 2**32 - 1, bytes(1000))],
    "priorities of any stream": [
        Frame(PRIORITY, 0, 99, bytes(5)),
        *REQUEST,
        Frame(PRIORITY, 0, 1, bytes(5)),
    ],
    "settings that nobody knows": [setting((0, 0), (9, 2**32 - 1), (0xFFFF, 1))],
    "no settings": [setting()],
    "the largest window": [
        window_update(LARGEST - 65_535),
        setting((INITIAL_WINDOW_SIZE, LARGEST)),
    ],
    "the largest window of a stream": [*REQUEST, window_update(LARGEST - 65_535, STREAM)],
    "no window": [setting((INITIAL_WINDOW_SIZE, 0))],
    "the smallest and largest frames": [
        setting((MAX_FRAME_SIZE, 16_384), (MAX_FRAME_SIZE, 2**24 - 1))
    ],
    "windows and priorities behind the end": [
        *block(b"request", flags=END_STREAM),
        window_update(1, STREAM),
        Frame(PRIORITY, 0, STREAM, bytes(5)),
        reset(STREAM),
    ],
    "a window of a stream that was reset": [*REQUEST, reset(STREAM), window_update(1, STREAM)],
    "a farewell": [*REQUEST, Frame(GOAWAY, 0, 0, bytes(8) + b"farewell"), data(b"x")],
    "a refused request": [*REQUEST, *block(b"another", b"", stream=STREAM + 2), data(b"x")],
    "a window of a refused request": [*REQUEST, *block(b"", stream=7), window_update(1, 7)],
    "trailers of a refused request": [
        *REQUEST,
        *block(b"", stream=7),
        *block(b"", stream=7, flags=1),
    ],
    "data of a refused request": [*REQUEST, *block(b"", stream=7), data(b"x", 7), data(b"x")],
    "the end of a refused request": [*REQUEST, *block(b"", stream=7), data(b"", 7, end=END_STREAM)],
    "a reset of a refused request": [*REQUEST, *block(b"", stream=7), reset(7)],
}


WAYS = pytest.mark.parametrize("way", [at_once, one_by_one, in_bytes])


@WAYS
@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_a_rule_ends_the_connection_with_a_reason(
    name: str, way: Callable[[Sequence[Frame]], Iterator[bytes]]
) -> None:
    frames, code, hint = BREAKS[name]
    assert broken(at_once(frames[:-1])) is None, "only the last frame breaks a rule"
    why = broken(way(frames))
    assert why is not None
    assert Error(why[0]) is code
    assert hint in why[1]
    assert re.fullmatch(r"[a-z0-9]+( [\w;:,']+)+", why[1]), "a clause for a person"


@WAYS
@pytest.mark.parametrize("name", ALLOWED)
def test_what_breaks_no_rule_is_taken(
    name: str, way: Callable[[Sequence[Frame]], Iterator[bytes]]
) -> None:
    assert broken(way(ALLOWED[name])) is None
