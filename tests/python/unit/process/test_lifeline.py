"""Who is still there when a worker stops: not who has been killed and needs a moment to end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from python_worker.process import lifeline


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a group of its own, which is taken for ours; SIGTERM does not reach it."""
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
def test_who_is_killed_is_no_member_however_long_it_takes_to_end(
    core: int | None, child: subprocess.Popen[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    # Killed by somebody else: from then on it is going, whether or not it is gone. On the same core
    # it cannot even begin before we rest. A zombie until it is waited for.
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


def test_other_signals_on_their_way_do_not_count(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    assert not lifeline.is_going(str(child.pid))
    assert lifeline.group_members() == [child.pid]


def test_of_a_process_that_is_gone_nothing_is_said(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    with pytest.raises(OSError, match=str(child.pid)):
        lifeline.is_going(str(child.pid))
    assert lifeline.group_members() == []
