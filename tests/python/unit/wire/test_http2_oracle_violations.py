"""A client that breaks HTTP/2: the worker's server and the library h2 as a server judge it alike.

Any frame may come in any state of a connection. Where the two differ, the difference has a name
and a reason here, and an example that shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.python.support import native
from tests.python.support.http2_frames import (
    LARGEST,
    PADDED,
    RESERVED,
    Error,
    Frame,
    block,
    data,
    reset,
    setting,
    window_update,
    word,
)
from tests.python.support.http2_oracle import WINDOW
from tests.python.support.http2_verdicts import Verdict, verdict_of_h2, verdict_of_worker
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

#: A header block of a request that needs no others, and the frames that open streams.
BLOCK = native.headers("Session")[9:]
REQUEST = block(BLOCK, stream=1)
ANOTHER = block(BLOCK, stream=5)

#: Half of the window is given back when so much has come, in this case nothing.
USED = WINDOW // 2 - 1

#: What has come before the frame that is judged.
STATES: dict[str, Sequence[Frame]] = {
    "nothing has come": [],
    "the request is open": REQUEST,
    "the request has ended": block(BLOCK, stream=1, flags=END_STREAM),
    "the request was reset": [*REQUEST, reset(1)],
    "a header block is not complete": [Frame(HEADERS, 0, 1, BLOCK[:9])],
    "another request was refused": [*REQUEST, *ANOTHER],
    "the window is used": [*REQUEST, data(bytes(USED), 1)],
    "windows are large": [
        *REQUEST,
        setting((INITIAL_WINDOW_SIZE, LARGEST - 10)),
        window_update(LARGEST - 65_545),
    ],
}


@dataclass(frozen=True)
class Case:
    """A frame, so many zeros at the end of its payload, and the name of what came before it."""

    state: str
    frame: Frame
    zeros: int = 0

    @property
    def frames(self) -> list[Frame]:
        whole = replace(self.frame, payload=self.frame.payload + bytes(self.zeros))
        return [*STATES[self.state], whole]


@dataclass(frozen=True)
class Difference:
    """Where the verdicts may differ.

    Attributes:
        example: Shows it.
        holds: Whether it explains the verdicts of the worker and of h2.
        why: The reason.
    """

    example: Case
    holds: Callable[[Frame, Verdict, Verdict], bool]
    why: str


OPEN, ENDED, RESET, CUT, REFUSED = list(STATES)[1:6]

DIFFERENCES: dict[str, Difference] = {
    "the worker ends the connection, h2 the stream": Difference(
        Case(OPEN, window_update(LARGEST, 1)),
        lambda frame, ours, h2: (
            ours.code is not None
            and h2.code is None
            and h2.resets in [((frame.stream, ours.code),), ((frame.stream, Error.STREAM_CLOSED),)]
        ),
        "RFC 9113 allows it (5.4.2), and the connection serves one stream",
    ),
    "h2 finds another of two faults first": Difference(
        Case(CUT, Frame(PING, 0, 0, b"")),
        lambda frame, ours, h2: (
            ours.code in (Error.PROTOCOL_ERROR, Error.STREAM_CLOSED)
            and any(w in h2.words for w in ("data missing", "invalid padding", "window shrunk"))
        ),
        "it reads the payload first, and the RFC does not say which fault counts",
    ),
    "h2 judges a header block when it is complete": Difference(
        Case(OPEN, Frame(HEADERS, END_STREAM, 2, BLOCK)),
        lambda frame, ours, h2: (
            frame.kind in (HEADERS, PUSH_PROMISE)
            and not frame.flags & END_HEADERS
            and ours.code is not None
            and h2 == Verdict(None, ())
        ),
        "the worker need not wait for the rest",
    ),
    "the worker does not decode header blocks": Difference(
        Case("nothing has come", Frame(HEADERS, END_HEADERS, 1, b"no header block")),
        lambda frame, ours, h2: (
            frame.kind in (HEADERS, CONTINUATION)
            and ours.code in (None, Error.STREAM_CLOSED)
            and "header" in h2.words.lower()
        ),
        "every connection is a session, whatever its headers say",
    ),
    "the worker ignores data and trailers of closed streams": Difference(
        Case(REFUSED, data(b"x", 3)),
        lambda frame, ours, h2: (
            frame.kind in (DATA, HEADERS)
            and ours.code is None
            and h2.resets == ((frame.stream, Error.STREAM_CLOSED),)
        ),
        "it has reset the stream before, or was told to expect nothing more",
    ),
    "h2 ignores the window of a reset stream": Difference(
        Case(RESET, window_update(LARGEST, 1)),
        lambda frame, ours, h2: (
            frame.kind == WINDOW_UPDATE
            and ours.code == Error.FLOW_CONTROL_ERROR
            and h2 == Verdict(None, ())
        ),
        "a session ends with its reset, so the worker does not count separately",
    ),
    "the worker does not count windows of refused streams": Difference(
        Case(REFUSED, window_update(LARGEST, 5)),
        lambda frame, ours, h2: (
            frame.kind == WINDOW_UPDATE
            and ours.code is None
            and h2.resets == ((frame.stream, Error.FLOW_CONTROL_ERROR),)
        ),
        "nothing is sent on them",
    ),
    "h2 ignores a reset of an idle stream": Difference(
        Case(OPEN, reset(7)),
        lambda frame, ours, h2: (
            frame.kind == RST_STREAM and "not open" in ours.words and h2 == Verdict(None, ())
        ),
        "RFC 9113, 6.4, demands a connection error",
    ),
    "h2 has another code for an ACK of SETTINGS with a payload": Difference(
        Case(OPEN, Frame(SETTINGS, ACK, 0, bytes(6))),
        lambda frame, ours, h2: (
            ours.code == Error.FRAME_SIZE_ERROR
            and h2.code == Error.PROTOCOL_ERROR
            and "SETTINGS ack" in h2.words
        ),
        "RFC 9113, 6.5, demands FRAME_SIZE_ERROR",
    ),
    "h2 knows ENABLE_CONNECT_PROTOCOL": Difference(
        Case(OPEN, setting((8, 2))),
        lambda frame, ours, h2: "Setting 8" in h2.words,
        "the worker does not, and ignores settings that it does not know",
    ),
    "h2 refuses a stream that depends on itself": Difference(
        Case(OPEN, Frame(PRIORITY, 0, 1, word(1) + b"x")),
        lambda frame, ours, h2: ours.code is None and "depend on itself" in h2.words,
        "RFC 9113 has dropped priorities (5.3.2)",
    ),
    "h2 reads the reserved bit of an increment": Difference(
        Case(OPEN, window_update(RESERVED | 5)),
        lambda frame, ours, h2: (
            frame.kind == WINDOW_UPDATE
            and ours.code in (None, Error.FLOW_CONTROL_ERROR)
            and frame.payload[0] >= 0x80
            and h2.code == Error.PROTOCOL_ERROR
        ),
        "RFC 9113, 6.9, says to ignore it",
    ),
    "h2 compares the padding of headers with the rest of the frame": Difference(
        Case("nothing has come", Frame(HEADERS, PADDED, 1, b"\x02" + bytes(2))),
        lambda frame, ours, h2: (
            frame.kind == HEADERS
            and ours.code is None
            and "invalid padding" in h2.words
            and frame.payload[0] < len(frame.payload)
        ),
        "RFC 9113, 6.2, forbids only more padding than there is room",
    ),
    "h2 has another code for a CONTINUATION on a closed stream": Difference(
        Case(REFUSED, Frame(CONTINUATION, END_HEADERS, 3, BLOCK)),
        lambda frame, ours, h2: (
            frame.kind == CONTINUATION
            and ours.code == Error.PROTOCOL_ERROR
            and h2.code == Error.STREAM_CLOSED
        ),
        "RFC 9113, 6.10, demands PROTOCOL_ERROR",
    ),
    "the worker does not follow refused streams": Difference(
        Case(REFUSED, Frame(HEADERS, END_HEADERS, 3, BLOCK)),
        lambda frame, ours, h2: (
            frame.kind == HEADERS
            and frame.stream > 1
            and ours.code is None
            and any(w in h2.words for w in ("StreamIDTooLow", "Trailers must", "RECV_HEADERS"))
        ),
        "it refuses every stream above its own, whether it is new or not",
    ),
}


def agree(ours: Verdict, h2: Verdict) -> bool:
    """Whether both say the same, but for the worker's refusal of a second request."""
    if ours.code is not None or h2.code is not None:
        return ours.code == h2.code
    return h2.resets == tuple(one for one in ours.resets if one[1] != Error.REFUSED_STREAM)


def explanations(case: Case) -> list[str]:
    """The names of the differences that explain the verdicts; of none, if they are the same."""
    ours, h2 = verdict_of_worker(case.frames), verdict_of_h2(case.frames)
    assert verdict_of_worker(case.frames, at_once=False) == ours
    if agree(ours, h2):
        return []
    # Both have to pass over the reserved bit.
    frame = replace(case.frame, stream=case.frame.stream & LARGEST)
    names = [n for n, one in DIFFERENCES.items() if one.holds(frame, ours, h2)]
    assert names, f"{case}: {ours} against {h2}"
    return names


numbers = st.sampled_from([0, 1, 2, 16_383, 16_384, 100_000, 2**24 - 1, 2**24, LARGEST, 2**31])
increments = st.sampled_from([0, 1, 10, 11, LARGEST - 65_535, LARGEST - 65_534, LARGEST])
anything = st.binary(max_size=12)
pairs = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 8, 9]), numbers),
    max_size=2,
    unique_by=lambda pair: pair[0],  # h2 sees the last of several only
)
headers = st.builds(
    lambda before, whole, after: before + whole + after,
    st.sampled_from([b"", b"\x02", bytes(5), b"\x02" + bytes(5), b"\xff"]),
    st.sampled_from([BLOCK, BLOCK[9:], b""]),
    st.sampled_from([b"", bytes(2)]),
)
sizes = st.sampled_from([0, 1, WINDOW - USED - 1, WINDOW - USED, WINDOW - USED + 1, WINDOW + 1])
payloads: dict[int, st.SearchStrategy[bytes]] = {
    DATA: anything,
    HEADERS: headers,
    PRIORITY: st.binary(min_size=5, max_size=5),
    RST_STREAM: st.binary(min_size=4, max_size=4),
    SETTINGS: pairs.map(lambda pairs: setting(*pairs).payload),
    PUSH_PROMISE: headers.map(lambda block: word(2) + block),
    PING: st.binary(min_size=8, max_size=8),
    GOAWAY: st.binary(min_size=8, max_size=12),
    WINDOW_UPDATE: increments.map(word),
    CONTINUATION: headers,
    99: anything,
}
streams = st.sampled_from([1, 0, 1, 2, 3, 5, 7, RESERVED, RESERVED | 1])
FLAGS = [0, ACK, END_HEADERS, END_HEADERS | END_STREAM, PADDED, HAS_PRIORITY, 0x0D, 0x2C, 0xFF]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any frame in any state, with a payload that is right in three of four."""
    kind = draw(st.sampled_from(list(payloads)))
    payload = draw(payloads[kind] if draw(st.integers(0, 3)) else anything)
    frame = Frame(kind, draw(st.sampled_from(FLAGS)), draw(streams), payload)
    zeros = draw(sizes) if kind == DATA else 0
    return Case(draw(st.sampled_from(list(STATES))), frame, zeros)


@settings(max_examples=2500)
@example(Case(OPEN, setting((MAX_FRAME_SIZE, 2**24))))
@given(cases())
def test_both_judge_any_frame_alike_or_differ_for_a_reason(case: Case) -> None:
    explanations(case)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_difference_exists(name: str) -> None:
    assert name in explanations(DIFFERENCES[name].example)
    assert DIFFERENCES[name].why


@pytest.mark.parametrize("state", STATES)
def test_what_comes_before_breaks_no_rule(state: str) -> None:
    assert agree(verdict_of_worker(STATES[state]), verdict_of_h2(STATES[state]))
    assert verdict_of_worker(STATES[state]).code is None
