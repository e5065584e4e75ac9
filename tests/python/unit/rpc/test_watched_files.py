"""Files that have changed are noticed, once, whatever way they were changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from python_worker.rpc.watched_files import WatchedFiles


def rewrite(path: Path) -> None:
    """Writes other text of the same length, at another time."""
    path.write_text("other")
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    """Puts another file in its place, as of the same time."""
    before = path.stat()
    other = path.with_name("new")
    other.write_text("third")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def change_link(path: Path) -> None:
    """Has a link lead elsewhere, as Kubernetes does."""
    other = path.with_name("elsewhere")
    other.write_text("first!")
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("change", [rewrite, replace, change_link, Path.unlink])
def test_a_change_is_told_once(change: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    files = WatchedFiles([str(path), str(tmp_path / "missing")])
    assert not files.changed()
    change(path)
    assert files.changed()
    assert not files.changed()


def test_a_file_that_comes_is_a_change(tmp_path: Path) -> None:
    files = WatchedFiles([str(tmp_path / "file")])
    (tmp_path / "file").write_text("")
    assert files.changed()


def test_without_files_nothing_changes() -> None:
    assert not WatchedFiles([]).changed()
