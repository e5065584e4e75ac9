"""A set of generated files: written, or compared with what is committed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""

_DIFF_LINES = 60
"""Lines shown of one file's difference: enough to see what kind it is."""


@dataclass(frozen=True)
class Files:
    """Texts by path, and where their like may be left over.

    Attributes:
        texts: The whole text of each file, by its path from the repository's root.
        owned: Glob patterns, from the root as well. A file that matches one, opens with
            the same line as one of the texts and is not among them is left over from an
            earlier run.
    """

    texts: Mapping[str, str]
    owned: tuple[str, ...] = field(default=())

    def write(self, root: Path = ROOT) -> list[str]:
        """Makes the tree equal to this set.

        Returns:
            The paths that were written or deleted; a file that is already right keeps
            its modification time, so that `mix compile` leaves it alone.
        """
        changed = []
        for path, text in self.texts.items():
            file = root / path
            if not file.exists() or file.read_bytes() != text.encode():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text.encode())
                changed.append(path)
        for path in self._left_over(root):
            (root / path).unlink()
            changed.append(path)
        return changed

    def differences(self, root: Path = ROOT) -> Iterator[str]:
        """Yields one readable text for each file that is not what it should be."""
        for path, text in self.texts.items():
            file = root / path
            if not file.exists():
                yield f"{path}: missing"
            elif (committed := file.read_bytes()) != text.encode():
                yield _diff(path, committed.decode(errors="replace"), text)
        for path in self._left_over(root):
            yield f"{path}: nothing makes this file any more"

    def _left_over(self, root: Path) -> list[str]:
        openings = {text.partition("\n")[0] for text in self.texts.values()}
        found = []
        for file in sorted(file for glob in self.owned for file in root.glob(glob)):
            path = file.relative_to(root).as_posix()
            if path not in self.texts and "__pycache__" not in path:
                opening = file.read_text(encoding="utf-8").partition("\n")[0]
                found += [path] if opening in openings else []
        return found


def _diff(path: str, committed: str, made: str) -> str:
    lines = list(
        difflib.unified_diff(
            committed.split("\n"),
            made.split("\n"),
            fromfile=f"{path} (committed)",
            tofile=f"{path} (made now)",
            lineterm="",
            n=2,
        )
    )
    if len(lines) > _DIFF_LINES:
        lines = [*lines[:_DIFF_LINES], f"... and {len(lines) - _DIFF_LINES} lines more"]
    return "\n".join(lines)
