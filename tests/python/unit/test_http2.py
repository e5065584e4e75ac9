"""The server's side of HTTP/2: frames cut at any place, RFC 9113's rules, windows both ways.

Frames are made and read by this file alone, with RFC 9113's numbers: a number that is wrong in the
module is not wrong here too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker.http2 import FRAME, WINDOW, Http2
from python_worker.http2_frames import Broken, Code
from python_worker.tensors import Buffer

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 2, 4, 5

LARGEST = 2**31 - 1

#: Passed over wherever it stands, so it has to change nothing.
RESERVED = 2**31

#: The request's stream; those above it are refused.
STREAM = 5

RESPONSE = b"\x88the response"


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


# -- Frames ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """One frame."""

    kind: int
    flags: int = 0
    stream: int = 0
    payload: bytes = b""

    def wire(self) -> bytes:
        head = len(self.payload).to_bytes(3, "big") + bytes((self.kind, self.flags))
        return head + word(self.stream) + self.payload


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
    return Frame(SETTINGS, 0, 0, b"".join(n.to_bytes(2, "big") + word(v) for n, v in pairs))


def window_update(more: int, stream: int = 0) -> Frame:
    return Frame(WINDOW_UPDATE, 0, stream, word(more))


def reset(stream: int, code: int = Error.CANCEL) -> Frame:
    return Frame(RST_STREAM, 0, stream, word(code))


REQUEST = block(b"request")
SETTINGS_ACK = Frame(SETTINGS, ACK)
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


# -- What a client says, and what comes of it --------------------------------------------------


@dataclass(frozen=True)
class Step:
    """Frames that a client may send, and what they mean."""

    frames: tuple[Frame, ...]
    body: bytes = b""
    answers: tuple[Frame, ...] = ()
    settings: tuple[tuple[int, int], ...] = ()
    connection_window: int = 0
    stream_window: int = 0
    ended: bool = False
    reset: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a server makes of what a client said."""

    body: bytes
    answers: list[Frame]
    requested: bool
    ended: bool
    reset: bool
    # How long the frames are in which `MUCH` would go now.
    going: list[int]


MUCH = bytes(150_000)


def play(chunks: Iterable[bytes]) -> Outcome:
    http2 = Http2(RESPONSE)
    body, said = bytearray(), bytearray()
    for chunk in chunks:
        for piece in http2.receive(chunk):
            body += piece
        said += http2.answers
        http2.answers.clear()
    return Outcome(
        bytes(body),
        parse(bytes(said)),
        http2.requested,
        http2.ended,
        http2.reset,
        [len(frame.payload) for frame in sent(http2.outflow.send([MUCH]))],
    )


def expected(steps: Sequence[Step]) -> Outcome:
    connection = initial = stream = 65_535
    size = 16_384
    for step in steps:
        connection += step.connection_window
        stream += step.stream_window
        for name, value in step.settings:
            if name == INITIAL_WINDOW_SIZE:
                stream, initial = stream + value - initial, value
            elif name == MAX_FRAME_SIZE:
                size = value
    going = max(0, min(len(MUCH), connection, stream))
    return Outcome(
        b"".join(step.body for step in steps),
        [answer for step in steps for answer in step.answers],
        requested=True,
        ended=any(step.ended for step in steps),
        reset=any(step.reset for step in steps),
        going=[size] * (going // size) + [going % size] * (going % size > 0),
    )


def pieces(whole: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Cut it into pieces of these sizes, over and over."""
    place = number = 0
    while place < len(whole):
        size = sizes[number % len(sizes)]
        yield whole[place : place + size]
        place, number = place + size, number + 1


#: A client that makes use of everything.
CONVERSATION = [
    Step(
        (setting((0xF0B1, 1), (MAX_FRAME_SIZE, 20_000)), window_update(90_000)),
        answers=(SETTINGS_ACK,),
        settings=((MAX_FRAME_SIZE, 20_000),),
        connection_window=90_000,
    ),
    Step(
        block(b"req", b"", b"uest"),
        answers=(ANSWER,),
    ),
    Step((data(b"plain"),), body=b"plain"),
    Step((data(b"padded", padding=3),), body=b"padded"),
    Step(
        (Frame(PING, 0, 0, b"\x00\x00\x00\x01\x00\x01PP"),),
        answers=(Frame(PING, ACK, 0, b"\x00\x00\x00\x01\x00\x01PP"),),
    ),
    Step((data(b""), data(b"", padding=0), data(b"", padding=2))),
    Step((Frame(PRIORITY, 0, 9, bytes(5)), Frame(0x42, 0xFF, STREAM, b"nobody knows"))),
    Step(
        (window_update(40_000, STREAM), setting((INITIAL_WINDOW_SIZE, 70_000))),
        answers=(SETTINGS_ACK,),
        settings=((INITIAL_WINDOW_SIZE, 70_000),),
        stream_window=40_000,
    ),
    Step(block(b"another", b" request", stream=7), answers=(reset(7, Error.REFUSED_STREAM),)),
    Step(
        (data(b"zero", padding=0), data(b"last", padding=1, end=END_STREAM)),
        b"zerolast",
        ended=True,
    ),
    Step((Frame(PING, ACK, 0, bytes(8)), SETTINGS_ACK, reset(STREAM)), reset=True),
]


def test_a_conversation_means_the_same_wherever_it_is_cut() -> None:
    said = wire(frame for step in CONVERSATION for frame in step.frames)
    meant = expected(CONVERSATION)
    assert play([said]) == meant
    assert play(frame.wire() for step in CONVERSATION for frame in step.frames) == meant
    for size in range(1, 12):
        assert play(pieces(said, [size])) == meant
        for place in range(len(said)):
            assert play([said[:place], said[place : place + size], said[place + size :]]) == meant


contents = st.binary(max_size=60)
paddings = st.none() | st.integers(0, 255)
sizes = st.integers(1, 20_000)
settings_steps = st.lists(
    st.one_of(
        st.tuples(st.just(INITIAL_WINDOW_SIZE), st.integers(0, 100_000)),
        st.tuples(st.just(MAX_FRAME_SIZE), st.integers(16_384, 2**24 - 1)),
        st.tuples(st.just(ENABLE_PUSH), st.integers(0, 1)),
        # Others that there are, and those that nobody knows.
        st.tuples(st.sampled_from([1, 3, 6, 8, 9, 0xF0B1, 0xFFFF]), st.integers(0, 2**32 - 1)),
    ),
    max_size=4,
).map(
    lambda pairs: Step((setting(*pairs),), answers=(SETTINGS_ACK,), settings=tuple(pairs)),
)
connection_steps = st.one_of(
    settings_steps,
    st.just(Step((SETTINGS_ACK,))),
    st.binary(min_size=8, max_size=8).map(
        lambda said: Step((Frame(PING, 0, 0, said),), answers=(Frame(PING, ACK, 0, said),))
    ),
    st.binary(min_size=8, max_size=8).map(lambda said: Step((Frame(PING, ACK, 0, said),))),
    sizes.map(lambda more: Step((window_update(more),), connection_window=more)),
    sizes.map(lambda more: Step((window_update(more | RESERVED),), connection_window=more)),
    st.builds(
        lambda kind, flags, stream, payload: Step((Frame(kind, flags, stream, payload),)),
        st.integers(10, 255),
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
        contents,
    ),
    st.integers(1, LARGEST).map(lambda stream: Step((Frame(PRIORITY, 0, stream, bytes(5)),))),
    contents.map(lambda why: Step((Frame(GOAWAY, 0, 0, bytes(8) + why),))),
)
stream_steps = st.one_of(
    st.builds(
        lambda content, padding, reserved: Step(
            (data(content, STREAM | reserved, padding=padding),), body=content
        ),
        contents,
        paddings,
        st.sampled_from([0, RESERVED]),
    ),
    sizes.map(lambda more: Step((window_update(more, STREAM),), stream_window=more)),
)
fragments = st.lists(contents, min_size=1, max_size=4)
ends = st.one_of(
    st.builds(
        lambda content, padding: Step(
            (data(content, padding=padding, end=END_STREAM),), body=content, ended=True
        ),
        contents,
        paddings,
    ),
    fragments.map(lambda them: Step(block(*them, flags=END_STREAM), ended=True)),
    st.just(Step((reset(STREAM),), reset=True)),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Step]:
    early = draw(st.lists(connection_steps, max_size=4))
    request = Step(block(*draw(fragments)), answers=(ANSWER,))
    later = draw(st.lists(connection_steps | stream_steps, max_size=10))
    if draw(st.booleans()):
        refused = block(*draw(fragments), stream=STREAM + 2)
        answer = reset(STREAM + 2, Error.REFUSED_STREAM)
        later.insert(draw(st.integers(0, len(later))), Step(refused, answers=(answer,)))
    end = draw(st.lists(ends, max_size=1))
    return [*early, request, *later, *end, *draw(st.lists(connection_steps, max_size=2))]


@settings(max_examples=300)
@given(conversations(), st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_any_conversation_means_the_same_wherever_it_is_cut(
    steps: list[Step], sizes: list[int]
) -> None:
    frames = [frame for step in steps for frame in step.frames]
    said = wire(frames)
    meant = expected(steps)
    assert play([said]) == meant
    assert play(frame.wire() for frame in frames) == meant
    assert play(pieces(said, sizes)) == meant
    assert play(pieces(said, [1])) == meant


@settings(max_examples=300)
@given(
    conversations(),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=3),
    st.lists(st.integers(1, 50), min_size=1, max_size=8),
)
def test_mutated_conversations_are_taken_or_broken_wherever_they_are_cut(
    steps: list[Step], changes: list[tuple[int, int]], sizes: list[int]
) -> None:
    said = bytearray(wire(frame for step in steps for frame in step.frames))
    for place, byte in changes:
        said[place % len(said)] = byte
    why = broken([bytes(said)])
    assert broken(pieces(bytes(said), sizes)) == why
    assert broken(pieces(bytes(said), [1])) == why


@given(st.binary())
def test_any_bytes_are_taken_or_broken(said: bytes) -> None:
    assert broken([said]) == broken(pieces(said, [1]))


def broken(chunks: Iterable[bytes]) -> tuple[int, str] | None:
    """Why the connection ended, if it did."""
    http2 = Http2(RESPONSE)
    try:
        for chunk in chunks:
            http2.receive(chunk)
    except Broken as error:
        assert str(error) == error.reason  # noqa: PT017
        return error.code, error.reason
    return None


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


# -- The rules ---------------------------------------------------------------------------------

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
    # 6.1
    "data of no stream": ([*REQUEST, data(b"x", 0)], P, "not open"),
    "data of no stream before the request": ([data(b"x", 0)], P, "not open"),
    "empty data of no stream": ([data(b"", 0)], P, "not open"),
    "as much padding as data": ([*REQUEST, Frame(DATA, PADDED, STREAM, b"\x03xy")], P, "padding"),
    "more padding than data": ([*REQUEST, Frame(DATA, PADDED, STREAM, b"\xffxyz")], P, "padding"),
    "only the length of padding": ([*REQUEST, Frame(DATA, PADDED, STREAM, b"\x01")], P, "padding"),
    "padding without its length": ([*REQUEST, Frame(DATA, PADDED, STREAM)], P, "padding"),
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
    "a continuation of nothing": ([Frame(CONTINUATION, END_HEADERS, STREAM)], P, "goes on"),
    "a continuation of no stream": ([Frame(CONTINUATION, END_HEADERS)], P, "goes on"),
    "a continuation behind the end of headers": (
        [*block(b"a", b"b"), Frame(CONTINUATION, END_HEADERS, STREAM)],
        P,
        "goes on",
    ),
    # 6.4
    "a reset of no stream": ([*REQUEST, reset(0)], P, "reset"),
    "a reset without a code": ([*REQUEST, Frame(RST_STREAM, 0, STREAM, b"")], F, "reset"),
    "a reset with more than a code": (
        [*REQUEST, Frame(RST_STREAM, 0, STREAM, bytes(5))],
        F,
        "reset",
    ),
    # 6.5
    "settings of a stream": ([*REQUEST, Frame(SETTINGS, 0, STREAM)], P, "settings"),
    "acknowledged settings of a stream": ([*REQUEST, Frame(SETTINGS, ACK, STREAM)], P, "settings"),
    "settings that are cut": ([Frame(SETTINGS, 0, 0, bytes(7))], F, "settings"),
    "settings in an acknowledgement": ([Frame(SETTINGS, ACK, 0, bytes(6))], F, "settings"),
    "a window of 2 GB": ([setting((INITIAL_WINDOW_SIZE, LARGEST + 1))], W, "window"),
    "a window of 4 GB": ([setting((1, 1), (INITIAL_WINDOW_SIZE, 2**32 - 1))], W, "window"),
    "frames below the least": ([setting((MAX_FRAME_SIZE, 16_383))], P, "16383"),
    "frames above the most": ([setting((MAX_FRAME_SIZE, 2**24))], P, "16777216"),
    "one bad setting among good ones": (
        [setting((MAX_FRAME_SIZE, 16_384), (MAX_FRAME_SIZE, 0), (MAX_FRAME_SIZE, 16_384))],
        P,
        "frames of 0",
    ),
    # 6.6
    "a push": ([*REQUEST, Frame(PUSH_PROMISE, END_HEADERS, STREAM, bytes(4))], P, "push"),
    # 6.7
    "a short ping": ([Frame(PING, 0, 0, bytes(7))], F, "ping"),
    "a long ping": ([Frame(PING, 0, 0, bytes(9))], F, "ping"),
    "a short answer to a ping": ([Frame(PING, ACK, 0, b"")], F, "ping"),
    "a ping of a stream": ([*REQUEST, Frame(PING, 0, STREAM, bytes(8))], P, "ping"),
    # 6.9
    "a window opened by nothing": ([window_update(0)], P, "nothing"),
    "a window opened by a reserved bit": ([window_update(RESERVED)], P, "nothing"),
    "a stream's window opened by nothing": ([*REQUEST, window_update(0, STREAM)], P, "nothing"),
    "a window without its size": ([Frame(WINDOW_UPDATE, 0, 0, bytes(3))], F, "window"),
    "a window with more than its size": ([Frame(WINDOW_UPDATE, 0, 0, bytes(5))], F, "window"),
    # 6.9.1
    "the connection's window above 2 GB": ([window_update(LARGEST - 65_534)], W, "2 GB"),
    "the connection's window above 2 GB at last": (
        [window_update(1000), window_update(LARGEST - 66_534)],
        W,
        "2 GB",
    ),
    "the stream's window above 2 GB": ([*REQUEST, window_update(LARGEST, STREAM)], W, "2 GB"),
    # 6.9.2
    "the stream's window above 2 GB by settings": (
        [*REQUEST, window_update(1, STREAM), setting((INITIAL_WINDOW_SIZE, LARGEST))],
        W,
        "window",
    ),
}

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
    "priorities of any stream": [Frame(PRIORITY, 0, 99, bytes(5)), *REQUEST, Frame(PRIORITY, 0, 1)],
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
    assert re.fullmatch(r"[a-z0-9]+( [\w;:']+)+", why[1]), "a clause for a person"


@WAYS
@pytest.mark.parametrize("name", ALLOWED)
def test_what_breaks_no_rule_is_taken(
    name: str, way: Callable[[Sequence[Frame]], Iterator[bytes]]
) -> None:
    assert broken(way(ALLOWED[name])) is None


def test_codes_are_those_of_the_rfc() -> None:
    assert {code.name: code.value for code in Code}.items() <= {
        error.name: error.value for error in Error
    }.items()


# -- Answers -----------------------------------------------------------------------------------


def test_the_greeting_opens_the_windows_and_allows_large_frames() -> None:
    greeting = Http2(RESPONSE).greeting()
    assert parse(greeting) == [
        setting((INITIAL_WINDOW_SIZE, WINDOW), (MAX_FRAME_SIZE, FRAME)),
        window_update(WINDOW - 65_535),
    ]
    assert WINDOW == 8 * 1024 * 1024
    assert FRAME == 1024 * 1024


def test_nothing_is_said_or_noted_before_something_came() -> None:
    http2 = Http2(RESPONSE)
    assert http2.receive(b"") == []
    assert answers(http2) == []
    assert (http2.requested, http2.ended, http2.reset, http2.outflow.blocked) == (False,) * 4


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
    http2.outflow.send([bytes(100_000)])
    assert http2.outflow.blocked
    assert parse(http2.finish(b"trailers")) == [
        Frame(HEADERS, END_HEADERS | END_STREAM, STREAM, b"trailers")
    ]
    assert not http2.outflow.blocked
    http2.receive(wire([window_update(100_000), window_update(100_000, STREAM)]))
    assert http2.outflow.more() == []


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


# -- A second request --------------------------------------------------------------------------


def test_a_second_request_is_refused_and_the_first_goes_on() -> None:
    http2 = opened()
    # The end of a refused request is not the end of the first.
    parts = http2.receive(wire([data(b"a"), *block(b"", b"", stream=7, flags=END_STREAM)]))
    assert answers(http2) == [reset(7, Error.REFUSED_STREAM)]
    parts += http2.receive(wire([data(b"b"), *block(b"", stream=9), data(b"c")]))
    assert answers(http2) == [reset(9, Error.REFUSED_STREAM)]
    assert b"".join(parts) == b"abc"
    assert (http2.ended, http2.reset) == (False, False)
    assert [frame.stream for frame in sent(http2.outflow.send([b"answer"]))] == [STREAM]


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


def test_data_of_a_refused_request_counts_for_the_connection() -> None:
    http2 = opened()
    http2.receive(wire(block(b"", stream=7)))
    answers(http2)
    given = 0
    for _ in range(100):
        assert http2.receive(data(bytes(1_000_000), 7).wire()) == []
        given += sum(given_back(http2)[0])
    assert 100_000_000 - WINDOW // 2 < given <= 100_000_000


# -- What may come -----------------------------------------------------------------------------


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
    monkeypatch.setattr("python_worker.http2.WINDOW", 1000)
    for way in (at_once, one_by_one, in_bytes):
        why = broken(way([*REQUEST, *frames]))
        if taken:
            assert why is None
        else:
            assert why == (Error.FLOW_CONTROL_ERROR, "more data than the window allows")


# -- What goes ---------------------------------------------------------------------------------


SOURCE = random.Random(7).randbytes(2**21)


def lengths(parts: Iterable[Buffer]) -> list[int]:
    return [len(frame.payload) for frame in sent(parts)]


def open_windows(http2: Http2, *frames: Frame) -> None:
    assert http2.receive(wire(frames)) == []
    http2.answers.clear()


def test_what_fits_goes_in_one_frame_and_is_not_copied() -> None:
    http2 = opened()
    parts: list[Buffer] = [b"one", memoryview(b"two"), b"", b"three"]
    head, *others = http2.outflow.send(parts)
    assert all(other is part for other, part in zip(others, parts, strict=True))
    assert sent([head, *others]) == [data(b"onetwothree")]
    assert not http2.outflow.blocked


def test_what_goes_in_several_frames_or_later_is_not_copied() -> None:
    http2 = opened()
    first, second = SOURCE[:60_000], SOURCE[60_000:70_000]
    out = http2.outflow.send([first, memoryview(second)])
    open_windows(http2, window_update(10_000), window_update(10_000, STREAM))
    out += http2.outflow.more()
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
    assert lengths(http2.outflow.send([bytes(size)])) == expected
    http2 = opened()
    open_windows(http2, setting((MAX_FRAME_SIZE, 30_000)))
    expected = [30_000] * (size // 30_000) + [size % 30_000]
    assert lengths(http2.outflow.send([bytes(size)])) == expected


def test_many_parts_share_a_frame() -> None:
    http2 = opened()
    out = http2.outflow.send([SOURCE[n : n + 100] for n in range(0, 20_000, 100)])
    assert lengths(out) == [16_384, 20_000 - 16_384]
    assert b"".join(frame.payload for frame in sent(out)) == SOURCE[:20_000]


def test_sending_stops_at_the_window_and_goes_on_when_both_are_open() -> None:
    http2 = opened()
    assert sum(lengths(http2.outflow.send([SOURCE[:65_535]]))) == 65_535
    assert not http2.outflow.blocked
    assert http2.outflow.send([b"wait"]) == []
    assert http2.outflow.blocked
    open_windows(http2, window_update(3))
    assert http2.outflow.more() == []
    open_windows(http2, window_update(1, STREAM))
    assert sent(http2.outflow.more()) == [data(b"w")]
    open_windows(http2, window_update(9, STREAM))
    assert sent(http2.outflow.more()) == [data(b"ai")]
    assert http2.outflow.more() == []
    assert http2.outflow.send([b"", b"ing"]) == [], "not before what waits"
    open_windows(http2, window_update(9))
    assert sent(http2.outflow.more()) == [data(b"ting")]
    assert not http2.outflow.blocked


def test_what_is_sent_later_stays_behind_what_could_have_gone_meanwhile() -> None:
    http2 = opened()
    http2.outflow.send([bytes(65_535)])
    http2.outflow.send([b"first "])
    # As of a client that reads slowly: its transport is full, so nobody asks for more.
    open_windows(http2, window_update(100), window_update(100, STREAM))
    assert sent(http2.outflow.send([b"second"])) == [data(b"first second")]


def test_nothing_waits_behind_what_fills_the_window() -> None:
    http2 = opened()
    assert sum(lengths(http2.outflow.send([bytes(65_535), b"", memoryview(b"")]))) == 65_535
    assert not http2.outflow.blocked


@pytest.mark.parametrize("smaller", [0, STREAM])
@pytest.mark.parametrize("way", ["fits", "is split", "waits"])
def test_the_smaller_window_is_the_limit(smaller: int, way: str) -> None:
    http2 = opened()
    http2.outflow.send([bytes(65_535)])
    open_windows(http2, window_update(10_000, STREAM - smaller), window_update(1000, smaller))
    if way == "fits":
        assert lengths(http2.outflow.send([bytes(1000)])) == [1000]
    elif way == "is split":
        assert lengths(http2.outflow.send([bytes(1001)])) == [1000]
    else:
        assert lengths(http2.outflow.send([bytes(999)])) == [999]
        assert lengths(http2.outflow.send([bytes(999)])) == [1]
    assert http2.outflow.blocked is (way != "fits")
    open_windows(http2, window_update(10_000, smaller))
    assert sum(lengths(http2.outflow.more())) == {"fits": 0, "is split": 1, "waits": 998}[way]
    assert not http2.outflow.blocked


def test_another_initial_window_moves_the_stream_only() -> None:
    http2 = opened()
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 100)))
    assert lengths(http2.outflow.send([bytes(1000)])) == [100]
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 150)))
    assert lengths(http2.outflow.more()) == [50]
    # Twice in one frame: the last holds.
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 160)))
    assert lengths(http2.outflow.more()) == [10]
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 1_000_000)))
    assert lengths(http2.outflow.more()) == [840]
    assert sum(lengths(http2.outflow.send([bytes(100_000)]))) == 64_535


def test_an_initial_window_before_the_request_holds_for_it() -> None:
    http2 = Http2(RESPONSE)
    # A window of a stream that is not open moves none.
    http2.receive(
        wire([setting((INITIAL_WINDOW_SIZE, 10)), *REQUEST, window_update(99, STREAM + 2)])
    )
    assert lengths(http2.outflow.send([bytes(100)])) == [10]


def test_a_window_that_became_negative_is_made_up_for_first() -> None:
    http2 = opened()
    http2.outflow.send([bytes(50_000)])
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 10_000)))
    assert http2.outflow.send([b"wait"]) == []
    open_windows(http2, window_update(40_000, STREAM))
    assert http2.outflow.more() == []
    open_windows(http2, window_update(1, STREAM))
    assert sent(http2.outflow.more()) == [data(b"w")]
    open_windows(http2, setting((INITIAL_WINDOW_SIZE, 10_003)))
    assert sent(http2.outflow.more()) == [data(b"ait")]
    assert not http2.outflow.blocked


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
            client.hear(http2.outflow.more())
        else:
            parts: list[Buffer] = []
            for size in act:
                part = SOURCE[place : place + size]
                parts.append(memoryview(part) if views else part)
                place += size
            client.hear(http2.outflow.send(parts))
        assert http2.outflow.blocked is (client.heard < place)
        assert not http2.outflow.blocked or min(client.connection, client.stream) <= 0
    open_windows(http2, window_update(2**30), window_update(2**30, STREAM))
    client.say(window_update(2**30))
    client.say(window_update(2**30, STREAM))
    client.hear(http2.outflow.more())
    assert client.heard == place
    assert not http2.outflow.blocked
