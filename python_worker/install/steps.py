"""What a step of set-up is, and what all steps share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from python_worker.install import environment
from python_worker.install.progress import Progress, run

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    extra: str
    dev: bool
    optional: tuple[str, ...] = ()
    vllm: str | None = None
    root: Path = ROOT


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing the machine must have.

    Attributes:
        name: Its name on the command line.
        find: Describes what is there already, or None if it is missing.
        make: Gets it; raises SetupError.
    """

    name: str
    find: Callable[[Options], str | None]
    make: Callable[[Options, Progress], None]


def apt(arguments: Sequence[str], progress: Progress, *, advice: str) -> None:
    """Runs apt-get, as root or with sudo.

    Raises:
        SetupError: It failed; `advice` says what to do.
    """
    progress.say(f"apt-get {' '.join(arguments)}")
    run(
        [*([] if os.geteuid() == 0 else ["sudo"]), "apt-get", "-q", *arguments],
        log=environment.cache_dir() / "setup-apt.log",
        progress=progress,
        news=lambda line: line if line.startswith(("Get:", "Unpacking", "Setting up")) else None,
        env={"DEBIAN_FRONTEND": "noninteractive"},
        advice=advice,
    )
