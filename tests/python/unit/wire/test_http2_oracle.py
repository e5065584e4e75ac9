"""The worker's HTTP/2 server against the library h2 as its client, in conversations made up.

Anything legal may happen at any time, with bytes in flight in both directions that are cut
anywhere; see ``Conversation`` for what is compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
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
sizes = st.integers(0, 300) | st.sampled_from([16_384, 35_000]) | st.integers(0, 70_000)
frame_sizes = st.sampled_from([16_384, 16_385, 2**24 - 1]) | st.integers(16_384, 40_000)
table_sizes = st.sampled_from([0, 4096, 65_536])
unknown_settings = st.tuples(st.integers(9, 0xFFFF), st.integers(0, 2**32 - 1))
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
    step("data_of_another", sizes, paddings),
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
from_server = step("respond", st.lists(sizes, min_size=1, max_size=4))
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
middles = st.lists(st.one_of(from_client, from_client, from_server, deliveries), max_size=20)
cuts = st.lists(st.integers(1, 50) | st.integers(1, 100_000), min_size=1, max_size=6)


@st.composite
def conversations(draw: st.DrawFn) -> list[Step]:
    """Something before the request, the request, anything, and up to two ends."""
    before = draw(st.lists(st.one_of(from_client, deliveries), max_size=3))
    request = draw(step("request", fragments, paddings, st.none() | st.integers(1, 256)))
    steps = [*before, request, *draw(middles)]
    for _ in range(draw(st.integers(0, 2))):
        steps += [draw(ends), *draw(st.lists(st.one_of(from_server, deliveries), max_size=4))]
    return steps


@settings(max_examples=1000)
@given(conversations(), cuts)
def test_both_agree_on_any_conversation(steps: list[Step], cuts: list[int]) -> None:
    with small_window():
        conversation = Conversation(cuts)
        for act in steps:
            act(conversation)
        conversation.settle()
