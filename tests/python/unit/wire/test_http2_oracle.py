"""The worker's HTTP/2 server against the library h2 as its client, in conversations made up.

Anything legal may happen at any time, with bytes in flight in both directions that are cut
anywhere; see ``Conversation`` for what is compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from python_worker.wire.http2_frames import Code
from tests.python.support.http2_oracle import Conversation, small_window


@dataclass(frozen=True)
class Step:
    """A call of one of a conversation's methods."""

    name: str
    arguments: tuple[object, ...]

    def __call__(self, conversation: Conversation) -> None:
        getattr(conversation, self.name)(*self.arguments)


def step(name: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.just(name), st.tuples(*arguments))


paddings = st.none() | st.integers(0, 255)
fragments = st.lists(st.integers(1, 60), max_size=4)
windows = st.sampled_from([0, 1, 100, 16_384, 65_535]) | st.integers(0, 100_000)
increments = st.integers(1, 100) | st.integers(1, 60_000)
sizes = st.one_of(
    st.integers(0, 300), st.integers(0, 16_000), st.sampled_from([16_384, 35_000, 70_000])
)
frame_sizes = st.sampled_from([16_384, 16_385, 2**24 - 1]) | st.integers(16_384, 40_000)
table_sizes = st.sampled_from([0, 4096, 65_536])
# The library that writes the frame keeps the low byte of a name only.
unknown_settings = st.tuples(st.integers(9, 0xFF), st.integers(0, 2**32 - 1))
eight_bytes = st.binary(min_size=8, max_size=8)
bytes_delivered = st.integers(1, 40) | st.integers(1, 100_000)

from_client = st.one_of(
    step("data", sizes, paddings, st.just(False)),
    step("data", sizes, paddings, st.just(False)),
    step("open_window", increments, st.booleans()),
    step("open_window", increments, st.booleans()),
    step("settings", windows, frame_sizes, table_sizes, unknown_settings),
    step("ping", eight_bytes),
    step("be_generous", st.booleans()),
    step("request", fragments, paddings, st.none() | st.integers(1, 256)),
    step("data_of_another", sizes, paddings, st.booleans()),
    step("prioritize", st.sampled_from([1, 3, 99]), st.integers(1, 256)),
    step(
        "unknown_frame",
        st.integers(11, 255),
        st.integers(0, 255),
        st.integers(0, 2**31 - 1),
        st.binary(max_size=60),
    ),
    step("leave", st.binary(max_size=20)),
)
from_server = st.one_of(
    step("respond", st.lists(sizes, min_size=1, max_size=4)),
    step("respond", st.lists(sizes, min_size=1, max_size=4)),
    step("pause", st.booleans()),
)
deliveries = st.one_of(
    step("deliver_to_server", bytes_delivered),
    step("deliver_to_client", bytes_delivered),
    step("settle"),
)
ends = st.one_of(
    step("data", sizes, paddings, st.just(True)),
    step("request_trailers", fragments),
    step("reset_stream", st.sampled_from([0, 2, 8, 99])),
    step("finish", st.integers(0, 16), st.text("abc %~", max_size=20).map(str.strip)),
    step("end_connection", st.sampled_from(Code), st.text("abc", max_size=20)),
)
middles = st.lists(
    st.one_of(from_client, from_client, from_server, deliveries), min_size=8, max_size=30
)
cuts = st.lists(st.integers(1, 50) | st.integers(1, 100_000), min_size=1, max_size=6)


@st.composite
def conversations(draw: st.DrawFn) -> list[Step]:
    """Something before the request, the request, anything, and up to two ends."""
    before = draw(st.lists(st.one_of(from_client, deliveries), max_size=3))
    request = draw(step("request", fragments, paddings, st.none() | st.integers(1, 256)))
    # Most of what follows needs a request that the server has.
    delivered = [Step("settle", ())] * draw(st.integers(0, 1))
    steps = [*before, request, *delivered, *draw(middles)]
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        steps += [draw(ends), *draw(st.lists(st.one_of(from_server, deliveries), max_size=4))]
    return steps


#: A client opens a second stream before it has read that only one is allowed, and sends much on
#: both. Seldom made up.
REFUSED = [
    Step("request", ([], None, None)),
    Step("request", ([], None, None)),
    Step("data_of_another", (20_000, None, True)),
    *[
        Step(name, arguments)
        for _ in range(5)
        for name, arguments in [
            ("data", (16_384, 7, False)),
            ("data", (16_384, None, False)),
            ("settle", ()),
        ]
    ],
]

#: A response of many frames that each fit into the windows, until one fits into one window only;
#: and one that would fit, but for what is queued.
SMALL_FRAMES = [
    Step("request", ([], None, None)),
    Step("settle", ()),
    Step("be_generous", (False,)),
    Step("settings", (70_000, 16_384, 4096, (9, 0))),
    Step("settle", ()),
    *[Step("respond", ([9000],))] * 7,
    Step("respond", ([5000],)),
    Step("settle", ()),
    Step("pause", (True,)),
    Step("open_window", (9000, False)),
    Step("open_window", (9000, True)),
    Step("deliver_to_server", (100,)),
    Step("respond", ([10],)),
    Step("settle", ()),
    Step("open_window", (20_000, True)),
    Step("settle", ()),
    Step("open_window", (5000, False)),
    Step("settle", ()),
    Step("respond", ([10],)),
    Step("settle", ()),
    *[Step("open_window", (30_000, of_stream)) for of_stream in (True, False)],
    Step("settle", ()),
]

#: Another size of frames, and twice another window, while the response waits.
OTHER_SETTINGS = [
    Step("request", ([], None, None)),
    Step("settle", ()),
    Step("be_generous", (False,)),
    Step("respond", ([200_000],)),
    Step("settings", (70_000, 16_384, 4096, (9, 0))),
    Step("settle", ()),
    Step("settings", (90_000, 20_000, 0, (9, 0))),
    Step("open_window", (100_000, False)),
    Step("settle", ()),
    Step("open_window", (1, True)),
    Step("settle", ()),
]


@settings(max_examples=500)
@example(REFUSED, [20_011])
@example(SMALL_FRAMES, [20_011])
@example(OTHER_SETTINGS, [20_011])
@given(conversations(), cuts)
def test_both_agree_on_any_conversation(steps: list[Step], cuts: list[int]) -> None:
    with small_window():
        conversation = Conversation(cuts)
        for act in steps:
            act(conversation)
        conversation.settle()
