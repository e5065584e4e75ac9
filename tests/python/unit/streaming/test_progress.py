"""Progress as a message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from python_worker.streaming import progress
from python_worker.streaming.progress import PROGRESS, Counter, Progress


class Clock:
    """In place of ``time``."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def told() -> Iterator[list[Progress]]:
    told: list[Progress] = []
    token = PROGRESS.set(told.append)
    yield told
    PROGRESS.reset(token)


def counted(clock: Clock, seconds: float, **options: float) -> None:
    """Counts to 10, each of which takes so many seconds."""
    counter = Counter(10, **options)
    for done in range(1, 11):
        clock.now += seconds
        counter.tell("Done", done)


def test_the_first_and_the_last_are_told_and_a_tenth_of_a_second_lies_between(
    clock: Clock, told: list[Progress]
) -> None:
    counted(clock, 1 / 32)
    # The tenth is told because it is the last.
    assert [it.done for it in told] == [1, 5, 9, 10]
    assert told[0] == Progress("Done", 1, 10, 1 / 32, "")


def test_what_is_over_soon_is_not_told(clock: Clock, told: list[Progress]) -> None:
    counted(clock, 1 / 32, after_s=0.5)
    assert told == []


def test_what_takes_longer_is_told_from_then_on(clock: Clock, told: list[Progress]) -> None:
    counted(clock, 1 / 16, after_s=0.25)
    assert [it.done for it in told] == [4, 6, 8, 10]


def test_nothing_is_told_where_nobody_listens(clock: Clock) -> None:
    counted(clock, 1.0)


def test_the_message_has_every_field() -> None:
    message = Progress("Processed prompts", 1, 2, 0.25, "fast").to_proto()
    assert message.description == "Processed prompts"
    assert (message.done, message.total, message.elapsed_ms) == (1, 2, 250)
    assert message.note == "fast"


def test_nobody_is_told_by_default() -> None:
    assert PROGRESS.get() is None
