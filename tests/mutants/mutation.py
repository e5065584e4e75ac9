"""One small change of a source: where, what stood there, and what stands there instead."""

from __future__ import annotations

import difflib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Mutation:
    """A change of some characters.

    Attributes:
        start: The place of the first character in the source.
        end: The place behind the last one.
        new: What stands there instead.
    """

    start: int
    end: int
    new: str

    def apply(self, source: str) -> str:
        """Returns the source with the change."""
        return source[: self.start] + self.new + source[self.end :]

    def line(self, source: str) -> int:
        """Returns the number of the first line that changes."""
        return source.count("\n", 0, self.start) + 1

    def diff(self, source: str, name: str) -> str:
        """Returns the change as a diff without context."""
        lines = difflib.unified_diff(
            source.splitlines(), self.apply(source).splitlines(), name, name, lineterm="", n=0
        )
        return "\n".join(lines)

    def key(self, source: str) -> str:
        """Returns what identifies the change when lines have moved: the lines before and after."""
        changed = self.diff(source, "").splitlines()[3:]
        return " ".join(f"{line[0]} {' '.join(line[1:].split())}" for line in changed)


def sample(mutations: Sequence[Mutation], seed: int, module: str) -> list[Mutation]:
    """Returns all mutations in the order in which they are tried: the same for the same seed.

    Changes of one place do not follow each other as long as there are other places.
    """
    generator = random.Random(f"{seed} {module}")
    shuffled = sorted(mutations)
    generator.shuffle(shuffled)
    seen: dict[int, int] = {}
    rounds: list[tuple[int, int, Mutation]] = []
    for index, mutation in enumerate(shuffled):
        turn = seen[mutation.start] = seen.get(mutation.start, 0) + 1
        rounds.append((turn, index, mutation))
    return [mutation for _, _, mutation in sorted(rounds)]


def offsets(source: str) -> list[int]:
    """Returns the place of the first character of each line."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def read(path: Path) -> str:
    """Returns the text of a source."""
    return path.read_text(encoding="utf-8")
