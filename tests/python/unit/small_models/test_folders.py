"""A folder is there whole or not at all, also if its process is killed; one process makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from python_worker.install.progress import Progress
from python_worker.small_models.folders import STAMP, is_current, making

ROOT = Path(__file__).parents[4]
PROGRESS = Progress("folder")
STAMPED = {"recipe": 1}

# Fills half of the folder and says so; then ends as its argument wants.
HALF = """
import os, signal, sys
from pathlib import Path
from python_worker.install.progress import Progress
from python_worker.small_models.folders import making

with making(Path(sys.argv[1]), {"recipe": 1}, Progress("half")) as draft:
    (draft / "half").write_text("half")
    print("half", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


def make(path: Path, stamp: dict[str, object] | None = None, text: str = "whole") -> bool:
    """Makes a folder of one file; False if another had made it."""
    with making(path, stamp or STAMPED, PROGRESS) as draft:
        if draft is None:
            return False
        (draft / "file").write_text(text)
        return True


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_made_with_its_stamp(tmp_path: Path) -> None:
    path = tmp_path / "models" / "m"
    assert not is_current(path, STAMPED)
    assert make(path)
    assert names(path) == ["file", STAMP]
    assert json.loads((path / STAMP).read_text()) == STAMPED
    assert is_current(path, STAMPED)
    assert names(path.parent) == [".m.lock", "m"]


def test_a_folder_that_is_current_is_not_made_again(tmp_path: Path) -> None:
    make(tmp_path / "m")
    assert not make(tmp_path / "m", text="again")
    assert (tmp_path / "m" / "file").read_text() == "whole"


def test_a_folder_of_another_recipe_is_replaced(tmp_path: Path) -> None:
    make(tmp_path / "m")
    (tmp_path / "m" / "old").write_text("")
    assert make(tmp_path / "m", {"recipe": 2}, "new")
    assert names(tmp_path / "m") == ["file", STAMP]
    assert (tmp_path / "m" / "file").read_text() == "new"


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("three years of work")
    with pytest.raises(FileExistsError, match="was not made by this command"):
        make(tmp_path / "m")
    assert names(tmp_path / "m") == ["thesis.txt"]


def test_a_damaged_stamp_is_no_stamp(tmp_path: Path) -> None:
    make(tmp_path / "m")
    (tmp_path / "m" / STAMP).write_text('{"recipe":')
    assert not is_current(tmp_path / "m", STAMPED)
    assert make(tmp_path / "m")


def fail(path: Path) -> None:
    with making(path, {"recipe": 2}, PROGRESS) as draft:
        assert draft is not None
        (draft / "file").write_text("half")
        raise RuntimeError("disk")


def test_what_raises_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    make(tmp_path / "m")
    with pytest.raises(RuntimeError, match="disk"):
        fail(tmp_path / "m")
    assert is_current(tmp_path / "m", STAMPED)
    assert names(tmp_path) == [".m.lock", "m"]


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_what_is_killed_leaves_nothing_half(tmp_path: Path, signal: str) -> None:
    path = tmp_path / "m"
    command = [sys.executable, "-c", HALF, str(path), signal]
    killed = subprocess.run(command, input=b"\n", capture_output=True, cwd=ROOT)
    assert killed.stdout == b"half\n"
    assert killed.returncode != 0
    assert not path.exists()
    assert make(path)
    assert names(path) == ["file", STAMP]
    assert names(tmp_path) == [".m.lock", "m"]


def test_another_process_waits_and_finds_what_the_first_has_made(tmp_path: Path) -> None:
    path = tmp_path / "m"
    script = HALF.replace("os.kill(os.getpid(), getattr(signal, sys.argv[2]))", "")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as first:
        assert first.stdout is not None
        assert first.stdin is not None
        assert first.stdout.readline() == b"half\n"
        assert not path.exists()
        first.stdin.write(b"\n")
        first.stdin.flush()
        assert not make(path)
    assert first.returncode == 0
    assert names(path) == ["half", STAMP]
