"""The priority of the worker's session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_the_session_of_another_process_keeps_its_priority() -> None:
    ours = AUTOGROUP.read_text().strip() if AUTOGROUP.exists() else "none"
    assert autogroup_after(10) == ours
