"""The worker's session gives way to its client's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from python_worker.process import cpu_share

AUTOGROUP = Path(cpu_share.AUTOGROUP)

CODE = """
import os, sys
if "leader" in sys.argv:
    os.setsid()
from python_worker.process import cpu_share as scheduling
scheduling.give_way()
print(open(scheduling.AUTOGROUP).read() if os.path.exists(scheduling.AUTOGROUP) else "none")
"""


def said(*arguments: str) -> str:
    """What a process that has given way says of its session."""
    command = [sys.executable, "-c", CODE, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_session_of_our_own_is_a_little_less_important() -> None:
    # A kernel without autogroups divides the CPU otherwise, and there is nothing to do.
    assert said("leader").endswith(f"nice {cpu_share.NICE}") or not AUTOGROUP.exists()


def test_a_session_of_somebody_else_is_left_alone() -> None:
    ours = AUTOGROUP.read_text().strip() if AUTOGROUP.exists() else "none"
    assert said() == ours
