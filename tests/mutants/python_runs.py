"""Runs Python tests against changed sources, each run in a process of its own.

A change within a function is tried by the tests that call it, in a process that has collected them
(`python_session.py`). Any other change, and one that these tests do not notice, goes into the file:
a process is forked from one that has imported what the tests import and the worker does not change.
Of ``python_worker`` and ``tests`` it imports nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutants import python_child
from tests.mutants.modules import Module
from tests.mutants.mutation import Mutation
from tests.mutants.outcome import Outcome
from tests.mutants.python_patch import changed_function, key_of
from tests.mutants.python_session import PythonSession
from tests.mutants.stages import Stages

# That a run of the quickest tests may take; of a core it needs ten.
BY_FILE_SECONDS = 180.0


class PythonRuns:
    """Runs tests in a copy of the tree.

    Args:
        tree: The copy.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._output = tree.parent / "output.txt"
        self._session: PythonSession | None = None
        python_child.preload()

    def prepare(self, modules: Sequence[Module]) -> str:
        """Collects the unit tests of modules, and returns what that took."""
        files = sorted({file for it in modules for stage in it.stages[:2] for file in stage})
        if not files:
            return "no unit tests"
        self._session = PythonSession(self._tree, files)
        unsound = [f"\n    fails without a change: {it}" for it in self._session.unsound]
        return self._session.summary + "".join(unsound)

    def tried(self, stages: Stages, mutation: Mutation, source: str) -> Outcome:
        """Returns what came of a change: by the tests that call it, then by the file."""
        module = stages.module
        try:
            compile(mutation.apply(source), module.path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return Outcome("invalid", "it does not compile")
        code = changed_function(module.path, source, mutation)
        if self._session is None or code is None:
            return self._by_file(stages, mutation, source)
        outcome = Outcome("unfit", "")
        if tests := self._session.covering(module, code):
            outcome = self._session.tried(module, mutation, source, tests)
        if outcome.kind not in ("passed", "unfit"):
            return outcome
        # What has run when the module was imported cannot be changed afterwards.
        imported = key_of(code, module.path) in self._session.imported
        if imported or (outcome.kind == "unfit" and tests):
            return self._by_file(stages, mutation, source)
        return stages.tried(mutation.apply(source), range(2, stages.count))

    def _by_file(self, stages: Stages, mutation: Mutation, source: str) -> Outcome:
        # All tests of a folder take long, where they cannot be chosen.
        changed = mutation.apply(source)
        outcome = stages.tried(changed, [0])
        if outcome.kind == "passed" and self._session is not None:
            with self.changed(stages.module.path, changed):
                outcome, _ = self.run(self._session.quick(stages.module), BY_FILE_SECONDS)
        if outcome.kind != "passed":
            return outcome
        return stages.tried(changed, range(2, stages.count))

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
            status = python_child.wait(pid, seconds)
        finally:
            python_child.end(pid, ended=status is not None)
        took = time.monotonic() - started
        if status is None:
            return Outcome("hang", "no end of the run"), took
        text = self._output.read_text(encoding="utf-8", errors="replace")
        return python_child.outcome(os.waitstatus_to_exitcode(status), text), took

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
        """Ends the process with the collected tests."""
        if self._session is not None:
            self._session.close()
        self._session = None

    def _be_pytest(self, files: Sequence[str]) -> None:
        code = 70
        try:
            python_child.enter(self._tree, self._output)
            import pytest

            code = pytest.main(python_child.options(self._tree, files))
            sys.stdout.flush()
        except BaseException as error:
            print("the run itself failed:", repr(error), flush=True)
        finally:
            # Not by `exit`: what the parent has registered is not to run here.
            os._exit(int(code))
