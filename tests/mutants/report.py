"""What came of the changes: a line for each module, and every change that no test noticed."""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from pathlib import Path

from tests.mutants.outcome import Outcome

EQUIVALENTS = Path(__file__).with_name("equivalents.toml")
SHOWN = ("killed", "hang", "passed", "equivalent", "invalid", "fault")
TITLES = {"passed": "survived", "hang": "hung"}


def equivalents() -> dict[tuple[str, str], str]:
    """Returns the changes that no test can notice, by module and key, with the reason."""
    entries = tomllib.loads(EQUIVALENTS.read_text(encoding="utf-8")).get("equivalent", [])
    return {(it["module"], it["change"]): it["reason"] for it in entries}


class Tried:
    """What came of the changes of one module.

    Args:
        language: Of its source.
        name: Of the module.
    """

    def __init__(self, language: str, name: str) -> None:
        self.language = language
        self.name = name
        self.counts: Counter[str] = Counter()
        self.survivors: list[tuple[str, str]] = []
        self.faults: list[tuple[str, str]] = []
        self.unsound: list[str] = []
        self.equivalent: list[tuple[str, str]] = []

    @property
    def counted(self) -> int:
        """How many of the sample have been tried; what does not compile is none of it."""
        return sum(self.counts[it] for it in ("killed", "hang", "passed", "fault"))

    def add(self, outcome: Outcome, diff: str, key: str) -> None:
        """Counts a change."""
        self.counts[outcome.kind] += 1
        if outcome.kind == "passed":
            self.survivors.append((diff, key))
        if outcome.kind == "fault":
            self.faults.append((diff, outcome.test))

    def add_equivalent(self, diff: str, reason: str) -> None:
        """Counts a change that no test can notice."""
        self.counts["equivalent"] += 1
        self.equivalent.append((diff, reason))


class Report:
    """Prints a line as soon as a module is done, and the rest at the end.

    Args:
        seed: Of the run.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tried: list[Tried] = []

    def add(self, tried: Tried) -> None:
        """Prints the line of a module."""
        if not self._tried:
            titles = "".join(f"{TITLES.get(it, it):>12}" for it in SHOWN)
            _print(f"seed {self._seed}\n{'':<58}{titles}")
        self._tried.append(tried)
        _print(_line(f"{tried.language} {tried.name}", tried.counts))
        for text in tried.unsound:
            _print(f"    left out, because it fails without a change: {text}")
        if not tried.counted and not tried.unsound:
            _print("    there is nothing to change, or no test")
        for diff, key in tried.survivors:
            _print(f"    not noticed: {diff.splitlines()[2]} {key}")

    def finish(self) -> None:
        """Prints the changes that were not noticed, and the sums."""
        for title, rows in (
            ("Not noticed", [(it, row) for it in self._tried for row in it.survivors]),
            ("Could not be tried", [(it, row) for it in self._tried for row in it.faults]),
            ("Cannot be noticed", [(it, row) for it in self._tried for row in it.equivalent]),
        ):
            if rows:
                _print(f"\n== {title}: {len(rows)}")
            for tried, (diff, note) in rows:
                _print(f"\n{tried.language} {tried.name}: {note}\n{diff}")
        _print("")
        for language in ("python", "elixir"):
            of_it = [it for it in self._tried if it.language == language]
            if of_it:
                total = sum((it.counts for it in of_it), Counter[str]())
                _print(_line(f"{language}: {len(of_it)} modules", total))
                _print(f"    noticed {_share(total)} of what can be")


def _share(counts: Counter[str]) -> str:
    noticed = counts["killed"] + counts["hang"]
    tried = noticed + counts["passed"]
    return f"{noticed} of {tried}, {100 * noticed / tried:.1f} %," if tried else "none"


def _line(name: str, counts: Counter[str]) -> str:
    return f"{name:<58}" + "".join(f"{counts[it]:>12}" for it in SHOWN)


def _print(text: str) -> None:
    print(text, flush=True, file=sys.stdout)
