"""The priority of the worker's session."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from python_worker.process import cpu_share

AUTOGROUP = Path(cpu_share.AUTOGROUP)

CODE = """
import os, sys
if "leader" in sys.argv:
    os.setsid()
from python_worker.process import cpu_share
cpu_share.lower_priority(int(sys.argv[1]))
print(open(cpu_share.AUTOGROUP).read() if os.path.exists(cpu_share.AUTOGROUP) else "none")
"""


def autogroup_after(nice: int, *arguments: str) -> str:
    """Returns the autogroup of a process that has called `lower_priority`."""
    command = [sys.executable, "-c", CODE, str(nice), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("nice", [0, 1, 10, 19])
def test_a_session_of_the_process_itself_gets_the_nice_value(nice: int) -> None:
    # Some kernels have no autogroups.
    assert autogroup_after(nice, "leader").endswith(f"nice {nice}") or not AUTOGROUP.exists()


def test_while_something_loads_the_session_has_its_first_priority() -> None:
    inside = "with cpu_share.raised(), cpu_share.raised():\n"
    code = CODE.replace("print(", inside + "    print(open(cpu_share.AUTOGROUP).read())\nprint(")
    if not AUTOGROUP.exists():
        pytest.skip("this kernel has no autogroups")
    command = [sys.executable, "-c", code, "10", "leader"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert [line.split()[-1] for line in output.split("\n") if line] == ["0", "10"]


def test_loads_of_several_threads_end_with_the_lower_priority(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[int] = []
    monkeypatch.setattr(cpu_share, "write", written.append)
    session = cpu_share._Session()
    with session.raised():
        pass
    assert written == []  # nothing was lowered
    monkeypatch.setattr("os.getsid", lambda _pid: os.getpid())
    session.lower(10)
    barrier = threading.Barrier(3)

    def load() -> None:
        with session.raised():
            barrier.wait(10)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert written == [10, 0, 10]


def test_a_load_that_fails_lowers_the_priority_again(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    monkeypatch.setattr(cpu_share, "write", written.append)
    monkeypatch.setattr("os.getsid", lambda _pid: os.getpid())
    session = cpu_share._Session()
    session.lower(5)
    with pytest.raises(ValueError, match="no such model"), session.raised():
        raise ValueError("no such model")
    assert written == [5, 0, 5]


def test_a_change_that_comes_too_soon_is_made_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Linux answers EAGAIN to the second change within a tenth of a second."""
    path = tmp_path / "autogroup"
    answers = iter([BlockingIOError(), BlockingIOError(), None])

    def opening(*arguments: Any, **options: Any) -> Any:
        if (error := next(answers)) is not None:
            raise error
        return path.open("w")

    monkeypatch.setattr(cpu_share, "open", opening, raising=False)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    cpu_share.write(7)
    assert path.read_text() == "7"


def test_the_session_of_another_process_keeps_its_priority() -> None:
    ours = AUTOGROUP.read_text().strip() if AUTOGROUP.exists() else "none"
    assert autogroup_after(10) == ours
