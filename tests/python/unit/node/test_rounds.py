"""What a node does from one head to the next."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from python_worker.node.cores import End
from python_worker.node.rounds import LONGEST_PAUSE_SECONDS, Rounds


class Over(Exception):
    """Ends the rounds of a test."""


class Scripted:
    """What runs for a head, and ends as the test says."""

    host, port = "head", 1

    def __init__(self, end: End | Exception) -> None:
        self.end = end

    def describe(self) -> str:
        return "the EngineCore of rank 1 of 2"

    def run(self) -> End:
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


def events(ends: Sequence[End | Exception]) -> list[object]:
    """What a node waits for while its cores end like this, one after the other."""
    found: list[object] = []
    left = list(ends)

    def make() -> Scripted:
        if not left:
            raise Over
        return Scripted(left.pop(0))

    rounds = Rounds(make, lambda host, port: found.append((host, port)), found.append)
    with pytest.raises(Over):
        rounds.run()
    return found


HEAD = ("head", 1)


def test_the_next_head_is_waited_for_at_once() -> None:
    assert events([End.HEAD_GONE] * 3) == [HEAD] * 3


def test_what_failed_is_started_again_later_and_later() -> None:
    failures: list[End | Exception] = [End.FAILED, RuntimeError("no memory")] * 4
    pauses = [it for it in events(failures) if it != HEAD]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, *[LONGEST_PAUSE_SECONDS] * 3]


def test_a_head_that_has_gone_ends_a_row_of_failures() -> None:
    found = events([End.FAILED, End.FAILED, End.HEAD_GONE, End.FAILED])
    assert found == [HEAD, 1.0, HEAD, 2.0, HEAD, HEAD, 1.0]


def test_what_ends_a_node_is_not_a_failure() -> None:
    class Stopped(BaseException):
        """Told to stop."""

    class Stops(Scripted):
        def run(self) -> End:
            raise Stopped

    def never(_value: object, *_: object) -> None:
        raise AssertionError

    rounds = Rounds(lambda: Stops(End.FAILED), lambda *_: None, never)
    with pytest.raises(Stopped):
        rounds.run()


def test_the_log_says_what_happens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    events([RuntimeError("no memory"), End.HEAD_GONE])
    text = caplog.text
    for said in (
        "starting the EngineCore of rank 1 of 2",
        "the EngineCore of rank 1 of 2 did not start",
        "no memory",
        "the EngineCore of rank 1 of 2 failed; starting again in 1 s",
        "the head at head:1 has gone, and with it what ran",
    ):
        assert said in text
