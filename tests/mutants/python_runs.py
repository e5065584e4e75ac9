"""Runs Python tests against changed sources, each run in a process of its own.

The processes are forked from one that has imported what the tests import and the worker does not
change: torch and others take seconds. Of ``python_worker`` and ``tests`` it imports nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutants.modules import ROOT
from tests.mutants.outcome import Outcome

PRELOADED = (
    *("asyncio", "concurrent.futures", "http.server", "ssl", "unittest.mock", "zoneinfo"),
    *(
        "pytest",
        "hypothesis",
        "hypothesis.strategies",
        "numpy",
        "torch",
        "msgpack",
        "msgspec",
        "pydantic",
        "uvloop",
    ),
    *("google.protobuf.message", "h2.connection", "jinja2", "cryptography.x509"),
)

TEST_SECONDS = 60


class PythonRuns:
    """Runs tests in a copy of the tree.

    Args:
        tree: The copy.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._outputs = tree / "mutants-output.txt"
        for name in PRELOADED:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)

    def run(self, files: Sequence[str], seconds: float) -> tuple[Outcome, float]:
        """Runs test files; returns what came of it, and how long it took.

        Args:
            files: Their paths in the tree.
            seconds: After this time they hang, and are killed.
        """
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._be_pytest(files)
        status = None
        try:
            status = _wait(pid, seconds)
        finally:
            _end(pid, ended=status is not None)
        took = time.monotonic() - started
        if status is None:
            return Outcome("hang", "no end of the run"), took
        text = self._outputs.read_text(encoding="utf-8", errors="replace")
        return _outcome(os.waitstatus_to_exitcode(status), text), took

    @contextlib.contextmanager
    def changed(self, path: str, source: str) -> Iterator[None]:
        """Has a file another text."""
        file = self._tree / path
        before = file.read_bytes()
        file.write_text(source, encoding="utf-8")
        try:
            yield
        finally:
            file.write_bytes(before)

    def close(self) -> None:
        """Nothing runs any more."""

    def _be_pytest(self, files: Sequence[str]) -> None:
        code = 70
        try:
            os.setpgrp()
            output = os.open(self._outputs, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            for name in [
                it for it in sys.modules if it.split(".")[0] in ("tests", "python_worker")
            ]:
                del sys.modules[name]
            others = [it for it in sys.path if os.path.realpath(it) != str(ROOT)]
            sys.path[:] = [str(self._tree), *others]
            os.chdir(self._tree)
            import pytest

            code = pytest.main(
                [
                    *("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=line"),
                    *("--timeout", str(TEST_SECONDS), "--rootdir", str(self._tree)),
                    # What was imported before has no rewritten assertions, and is no test.
                    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
                    *("-c", str(self._tree / "pyproject.toml"), *files),
                ]
            )
            sys.stdout.flush()
        except BaseException as error:
            print("the run itself failed:", repr(error), flush=True)
        finally:
            # Not by `exit`: what the parent has registered is not to run here.
            os._exit(int(code))


def _wait(pid: int, seconds: float) -> int | None:
    """Waits for a process; None if it took too long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        time.sleep(0.02)
    return None


def _end(pid: int, *, ended: bool) -> None:
    """Kills a process, unless it has ended, and what is left of its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if not ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


# pytest's: tests failed; interrupted, as by an error while tests are collected.
FAILED = (1, 2)


def _outcome(code: int, text: str) -> Outcome:
    last = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
    named = last[0].split(" - ")[0] if last else ""
    if code == 0:
        return Outcome("passed", "")
    if "Failed: Timeout" in text or "Timeout (>" in text:
        return Outcome("hang", named)
    if code in FAILED or code < 0:
        return Outcome("killed", named or f"signal {-code}")
    return Outcome("fault", text[-2000:])
