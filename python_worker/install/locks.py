"""A lock between processes: one makes what several want, and the others wait for it."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from python_worker.install.progress import Progress


@contextlib.contextmanager
def locked(path: Path, progress: Progress, holder: str) -> Iterator[None]:
    """Holds the lock of the file `path`, which stays; a process that ends gives its lock back.

    Args:
        path: The file; it is made.
        progress: Where the wait is shown.
        holder: What holds the lock if this has to wait: "another set-up".
    """
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress.update(f"waiting for {holder}")
                time.sleep(0.2)
        yield
