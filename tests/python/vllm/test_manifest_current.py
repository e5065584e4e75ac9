"""The committed manifest describes the installed vLLM."""

from __future__ import annotations

import subprocess
import sys


def test_manifest_is_current() -> None:
    # In a process of its own, which is how it is made: vLLM as this session has it may already
    # have been changed by a test.
    command = [sys.executable, "-m", "python_worker.gen", "--check", "--only", "manifest"]

    result = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
