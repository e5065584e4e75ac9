"""Files that are read again when they have changed, without a restart."""

from __future__ import annotations

import os
from collections.abc import Sequence

Version = tuple[int, int, int, int] | None


class WatchedFiles:
    """Tells whether files have changed since they were read.

    Args:
        paths: Of the files. A link counts as what it leads to: Kubernetes changes links.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._versions = self._look()

    def changed(self) -> bool:
        """Whether one is another than at the last question, or than in the beginning."""
        before, self._versions = self._versions, self._look()
        return before != self._versions

    def _look(self) -> list[Version]:
        return [version_of(path) for path in self._paths]


def version_of(path: str) -> Version:
    """What changes with a file; None when there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
