"""Which processes of the group still run when a worker stops."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from python_worker.process import lifeline


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, which the module takes for ours. It blocks SIGTERM."""
    process = subprocess.Popen(
        ["sleep", "600"],
        process_group=0,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]),
    )
    monkeypatch.setattr(os, "getpgrp", lambda: process.pid)
    yield process
    process.kill()
    process.wait()


def test_a_process_of_the_group_is_a_member_until_it_has_ended(
    child: subprocess.Popen[bytes],
) -> None:
    assert lifeline.group_members() == [child.pid]
    lifeline.kill_group()
    assert child.wait() == -signal.SIGKILL
    assert lifeline.group_members() == []


@pytest.mark.parametrize("core", [None, min(os.sched_getaffinity(0))])
def test_a_killed_process_is_no_member_even_before_it_has_ended(
    core: int | None, child: subprocess.Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    # From the kill on it counts as ending. On the same core it cannot begin to end before this
    # process waits. It is a zombie until it is waited for.
    ours = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(child.pid, {core})
        os.sched_setaffinity(0, {core})
    try:
        child.kill()
        assert lifeline.group_members() == []
    finally:
        os.sched_setaffinity(0, ours)
    lifeline.kill_group()
    assert not caplog.records


def test_other_pending_signals_do_not_count(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    assert not lifeline.is_ending(str(child.pid))
    assert lifeline.group_members() == [child.pid]


def test_a_process_that_has_ended_has_no_state(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    with pytest.raises(OSError, match=str(child.pid)):
        lifeline.is_ending(str(child.pid))
    assert lifeline.group_members() == []


LEADER = """
import subprocess, sys
from python_worker.process import lifeline
lifeline.lead_process_group()
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
children = [subprocess.Popen(["sleep", "600"], **quiet) for _ in range(2)]
assert sorted(lifeline.group_members()) == sorted(it.pid for it in children)
lifeline.kill_group()
print("the leader lives, and its children ended with", sorted({it.wait() for it in children}))
"""


def test_a_group_is_killed_without_the_process_that_kills_it() -> None:
    """In a process of its own, which is a member of its group and must not kill itself."""
    command = [sys.executable, "-c", LEADER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as leader:
        try:
            said, _ = leader.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader.pid, signal.SIGKILL)
    assert said == "the leader lives, and its children ended with [-9]\n"
    assert leader.returncode == 0
