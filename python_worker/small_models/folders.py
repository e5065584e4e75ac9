"""A folder that is there whole or not at all, whatever happens to the process that makes it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from python_worker.install.locks import locked
from python_worker.install.progress import Progress

#: Names what made a folder. Equal stamps, equal files.
STAMP = "small_model.json"


def is_current(path: Path, stamp: Mapping[str, object]) -> bool:
    """Tells whether `path` holds what the stamp describes."""
    try:
        return bool(json.loads((path / STAMP).read_text(encoding="utf-8")) == dict(stamp))
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def making(path: Path, stamp: Mapping[str, object], progress: Progress) -> Iterator[Path | None]:
    """Gives a folder to fill, which takes the place of `path` at the end.

    Gives None if `path` turns out to be current: another process has just made it. A run that
    was killed leaves a draft, which the next run deletes.

    Raises:
        FileExistsError: `path` exists and was made by something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with locked(lock, progress, "another process that makes it"):
        if is_current(path, stamp):
            yield None
            return
        if path.exists() and not (path / STAMP).exists():
            raise FileExistsError(f"{path} exists and was not made by this command")
        draft = path.with_name(f".{path.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            yield draft
            (draft / STAMP).write_text(json.dumps(dict(stamp)) + "\n", encoding="utf-8")
            shutil.rmtree(path, ignore_errors=True)
            draft.replace(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
