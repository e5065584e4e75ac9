"""What a forked process needs before it runs tests in the copy of the tree."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.modules import ROOT
from tests.mutants.outcome import Outcome

# What the tests import and no change concerns: torch and others take seconds.
PRELOADED = (
    *("asyncio", "concurrent.futures", "http.server", "ssl", "unittest.mock", "zoneinfo"),
    *("pytest", "hypothesis", "hypothesis.strategies", "numpy", "torch", "msgpack", "msgspec"),
    *("pydantic", "uvloop", "google.protobuf.message", "h2.connection", "jinja2"),
    "cryptography.x509",
)

TEST_SECONDS = 60


def preload() -> None:
    """Imports what there is of it."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def enter(tree: Path, output: Path) -> None:
    """Makes a forked process one of the tree: its imports, its folder, its output, its group."""
    os.setpgrp()
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(written, 1)
    os.dup2(written, 2)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for name in [it for it in sys.modules if it.split(".")[0] in ("tests", "python_worker")]:
        del sys.modules[name]
    others = [it for it in sys.path if os.path.realpath(it) != str(ROOT)]
    sys.path[:] = [str(tree), *others]
    os.chdir(tree)


def end_with_parent() -> None:
    """Has the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def options(tree: Path, files: Sequence[str], seconds: int = TEST_SECONDS) -> list[str]:
    """Returns pytest's command line: it ends at the first failure."""
    return [
        *("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line"),
        *("--timeout", str(seconds), "--rootdir", str(tree)),
        # The folder of a run that was killed is used again: pytest would keep it for days.
        *("--basetemp", str(tree.parent / "t")),
        # What was imported before has no rewritten assertions, and is no test.
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
        *("-c", str(tree / "pyproject.toml"), *files),
    ]


def wait(pid: int, seconds: float) -> int | None:
    """Waits for a process; None if it took too long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.01)
    return None


def end(pid: int, *, ended: bool) -> None:
    """Kills a process, unless it has ended, and what is left of its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if not ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


# pytest's: tests failed; an error while tests are collected; no such test, because its file cannot
# be imported.
FAILED = (1, 2, 4)


def timed_out(text: str) -> bool:
    """Whether a report or an output is of a test that took too long."""
    return "Failed: Timeout" in text or "Timeout (>" in text


def outcome(code: int, text: str) -> Outcome:
    """Returns what came of a run, by pytest's exit status and output."""
    last = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
    named = last[0].split(" - ")[0] if last else ""
    if code == 0:
        return Outcome("passed", "")
    if timed_out(text):
        return Outcome("hang", named)
    if code in FAILED or code < 0:
        return Outcome("killed", named or f"signal {-code}")
    return Outcome("fault", text[-2000:])
