"""How the processes of an engine ended, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from python_worker.engines.guards.core_exits import describe, describe_exits, processes_of


@dataclass
class Process:
    """A process of multiprocessing."""

    exitcode: int | None
    name: str = "EngineCore"
    pid: int = 7


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (-signal.SIGKILL, "SIGKILL"),
        (-signal.SIGILL, "SIGILL"),
        (-signal.SIGSEGV, "SIGSEGV"),
        (-100, "signal 100"),
        (0, "SIGTERM"),
        (1, "status 1"),
    ],
)
def test_a_status_is_told_in_words(status: int, says: str) -> None:
    assert says in describe(status)


def test_the_end_names_the_process() -> None:
    said = describe_exits(
        [Process(None, name="EngineCore_DP0"), Process(-9, name="EngineCore_DP1")]
    )
    assert said.startswith("EngineCore_DP1 (process 7) was killed by SIGKILL")
    assert "DP0" not in said


def test_one_that_has_not_ended_has_reported_an_error() -> None:
    assert (
        describe_exits([Process(None)])
        == describe_exits([])
        == "It reported a fatal error, which its log has."
    )


def test_with_ray_there_are_no_processes_of_ours() -> None:
    assert processes_of(SimpleNamespace(actors=[1])) == processes_of(None) == ()
    process = Process(None)
    assert processes_of(SimpleNamespace(processes=[process])) == (process,)
