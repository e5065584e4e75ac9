"""What set-up shows of pip: its lines, condensed, and a count where it prints nothing."""

from __future__ import annotations

import re
from pathlib import Path

INSTALLING = re.compile(r"Installing collected packages: (.*)")


class PipNews:
    """What one run of pip does: what it prints, and how many packages it has installed."""

    def __init__(self, site_packages: Path) -> None:
        self._site_packages = site_packages
        self._before = self._installed()
        self._expected = 0

    def of_line(self, line: str) -> str | None:
        """The news in a line of pip's output, or None."""
        if match := INSTALLING.match(line.strip()):
            self._expected = match[1].count(",") + 1
        return condensed(line)

    def in_silence(self) -> str:
        """The news while pip prints nothing; "" before it installs."""
        if not self._expected:
            return ""
        installed = min(max(self._installed() - self._before, 0), self._expected)
        return f"installing {self._expected} packages, {installed} are there"

    def _installed(self) -> int:
        return sum(1 for _ in self._site_packages.glob("*.dist-info"))


def condensed(line: str) -> str | None:
    """Condenses one line of pip's output to a line of progress, or None."""
    line = line.strip()
    if match := re.match(r"(Downloading|Using cached|Processing) (?:\S*/)?(\S+?)(?:-|$)", line):
        verb = {"Downloading": "downloading", "Using cached": "cached", "Processing": "reading"}
        version = re.search(r"-(\d[^-/]*?)(?:-|\.tar|\.whl|$)", line)
        size = re.search(r"\([\d.]+ [kMG]B\)$", line)
        parts = [verb[match[1]], match[2].replace("_", "-")]
        return " ".join([*parts, *(m[m.re.groups] for m in (version, size) if m)])
    if match := INSTALLING.match(line):
        return f"installing {match[1].count(',') + 1} packages"
    if match := re.match(r"Building wheel for (\S+)", line):
        return f"building {match[1]}"
    return None
