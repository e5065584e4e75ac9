"""The stages of tests that one module's changes go through."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from tests.mutants.modules import Module
from tests.mutants.outcome import Outcome
from tests.mutants.report import Tried

# A run hangs after this time, and after several times as long as without a change.
LEAST_SECONDS = 30.0
TIMES = 3
SOUND_SECONDS = 600


class FileRuns(Protocol):
    """Runs test files against a changed source."""

    def run(self, files: Sequence[str], seconds: float) -> tuple[Outcome, float]:
        """Runs test files, and returns what came of it and the seconds."""

    def changed(self, path: str, source: str) -> contextlib.AbstractContextManager[None]:
        """Has a file another text."""


class Stages:
    """Runs a stage when it is needed, if its tests pass without a change.

    Args:
        runs: Runs the tests.
        module: The module whose tests they are.
        count: How many stages are used.
        tried: Is told of tests that fail without a change.
        limits: The seconds that files may take, for those that were run without a change before;
            None if they failed. Modules share it.
    """

    def __init__(
        self,
        runs: FileRuns,
        module: Module,
        count: int,
        tried: Tried,
        limits: dict[tuple[str, ...], float | None],
    ) -> None:
        self.module = module
        self.count = count
        self._runs = runs
        self._tried = tried
        self._limits = limits

    def tried(self, changed: str, stages: Iterable[int]) -> Outcome:
        """Runs the tests against a changed source, stage by stage, until one notices it."""
        for stage in stages:
            files = self.module.stages[stage]
            if (seconds := self._limit(files)) is None:
                continue
            with self._runs.changed(self.module.path, changed):
                outcome, _ = self._runs.run(files, seconds)
            if outcome.kind != "passed":
                return outcome
        return Outcome("passed", "")

    def _limit(self, files: tuple[str, ...]) -> float | None:
        if not files:
            return None
        if files not in self._limits:
            outcome, took = self._runs.run(files, SOUND_SECONDS)
            sound = outcome.kind == "passed"
            self._limits[files] = max(LEAST_SECONDS, TIMES * took) if sound else None
            if not sound:
                self._tried.unsound.append(f"{' '.join(files)}: {outcome.kind} {outcome.test}")
        return self._limits[files]
