"""A conversation of HTTP/2 means the same wherever its bytes are cut, and so does a broken one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker.wire.http2 import Http2
from tests.python.support.http2_frames import (
    LARGEST,
    RESERVED,
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
)
from tests.python.support.http2_server import ANSWER, RESPONSE, broken, sent
from tests.python.support.native import (
    ACK,
    END_STREAM,
    GOAWAY,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    PING,
    PRIORITY,
)

ENABLE_PUSH = 2


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
        [len(frame.payload) for frame in sent(http2.flow_control.send([MUCH]))],
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


#: A client that makes use of everything.
CONVERSATION = [
    Step(
        (setting((0xF0F0, 1), (MAX_FRAME_SIZE, 20_000)), window_update(90_000)),
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
        st.tuples(st.sampled_from([1, 3, 6, 8, 9, 0xF0F0, 0xFFFF]), st.integers(0, 2**32 - 1)),
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
