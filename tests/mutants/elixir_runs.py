"""Runs Elixir tests against changed sources, in one BEAM as long as it stays sound.

A changed module may spoil the BEAM for what comes after it: a process that does not end, a table
that is gone. So a change is believed to be noticed only if the test that failed, with its module,
passes without it right after. If it does not, or if a run hangs, another BEAM is started.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutants.modules import Module
from tests.mutants.mutation import Mutation
from tests.mutants.outcome import Outcome
from tests.mutants.stages import Stages

HERE = Path(__file__).parent
ANSWER = "mutants: "
START_SECONDS = 300
KINDS = {"passed": "passed", "failed": "killed", "late": "hang", "invalid": "invalid"}


class ElixirRuns:
    """Runs tests in a copy of the tree.

    Args:
        tree: The copy, with its build.
    """

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._source: Path | None = None
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._labels: dict[tuple[str, ...], str] = {}

    def prepare(self, modules: Sequence[Module]) -> str:
        """Nothing: the BEAM starts with the first run."""
        return f"{len(modules)} modules"

    def tried(self, stages: Stages, mutation: Mutation, source: str) -> Outcome:
        """Runs the tests against one change, stage by stage."""
        return stages.tried(mutation.apply(source), range(stages.count))

    def run(self, files: Sequence[str], seconds: float) -> tuple[Outcome, float]:
        """Runs test files; returns what came of it, and how long it took.

        Args:
            files: Their paths in the tree.
            seconds: After this time they hang, and the BEAM is killed.
        """
        started = time.monotonic()
        outcome = self._load(files, seconds)
        if self._source is None:
            outcome = outcome or self._ask(f"run {self._labels[tuple(files)]}", seconds)
            return outcome, time.monotonic() - started
        if outcome is not None and outcome.kind != "passed":
            return Outcome("fault", f"without a change: {outcome.test}"), 0.0
        started = time.monotonic()
        label = self._labels[tuple(files)]
        outcome = self._ask(f"run {label} {self._source}", seconds)
        took = time.monotonic() - started
        if outcome.kind == "killed" and self._ask("again", seconds).kind != "passed":
            self.close()
        return outcome, took

    @contextlib.contextmanager
    def changed(self, path: str, source: str) -> Iterator[None]:
        """Has a module compiled from another text."""
        self._source = self._tree / path
        before = self._source.read_bytes()
        self._source.write_text(source, encoding="utf-8")
        try:
            yield
        finally:
            self._source.write_bytes(before)
            self._source = None

    def close(self) -> None:
        """Ends the BEAM."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process, self._labels, self._lines = None, {}, queue.Queue()

    def _load(self, files: Sequence[str], seconds: float) -> Outcome | None:
        """Has the BEAM know the tests, which runs them; None if it does already."""
        if self._process is None:
            self._start()
        if tuple(files) in self._labels:
            return None
        label = f"tests{len(self._labels)}"
        outcome = self._ask(f"load {label} {' '.join(files)}", seconds + START_SECONDS)
        if self._process is not None:
            self._labels[tuple(files)] = label
        return outcome

    def _ask(self, command: str, seconds: float) -> Outcome:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=seconds)
        except (queue.Empty, OSError):
            line = ""
        if not line:
            # It hangs, or has ended with its tests.
            self.close()
            return Outcome("hang" if line == "" else "killed", "the BEAM")
        kind, _, test = line.partition(" ")
        return Outcome(KINDS.get(kind, "fault"), test)

    def _start(self) -> None:
        self._process = process = subprocess.Popen(
            ["mix", "run", "--no-compile", "--no-deps-check", str(HERE / "elixir_runner.exs")],
            cwd=self._tree,
            # Random frames find what they find in the lane; here few of them run each time.
            env={**os.environ, "MIX_ENV": "test", "MUTATED_FRAMES": "200"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            process_group=0,
        )
        threading.Thread(target=_read, args=(process, self._lines), daemon=True).start()
        if self._lines.get(timeout=START_SECONDS) != "ready":
            raise RuntimeError("the BEAM that runs the tests did not start")


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(ANSWER):
            lines.put(line.removeprefix(ANSWER).rstrip("\n"))
    lines.put(None)
