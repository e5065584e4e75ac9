"""A set of generated files: written, or compared with what is committed."""

from __future__ import annotations

from pathlib import Path

from python_worker.gen.files import Files


def test_a_changed_file_is_shown_as_a_difference(tmp_path: Path) -> None:
    Files({"a.txt": "one\ntwo\n"}).write(tmp_path)

    (shown,) = Files({"a.txt": "one\nthree\n"}).differences(tmp_path)

    assert shown.splitlines()[:2] == ["--- a.txt (committed)", "+++ a.txt (made now)"]
    assert "-two" in shown
    assert "+three" in shown


def test_a_long_difference_is_cut(tmp_path: Path) -> None:
    Files({"a.txt": "\n".join(map(str, range(500)))}).write(tmp_path)

    (shown,) = Files({"a.txt": ""}).differences(tmp_path)

    assert shown.splitlines()[-1].endswith("lines more")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert list(Files({"a.txt": ""}).differences(tmp_path)) == ["a.txt: missing"]


def test_a_file_that_differs_in_its_line_ends_is_not_current(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\n")

    assert list(Files({"a.txt": "one\n"}).differences(tmp_path)) != []


def test_what_an_earlier_run_left_is_found_and_removed(tmp_path: Path) -> None:
    Files({"old.txt": "# made\nold\n"}).write(tmp_path)
    (tmp_path / "foreign.txt").write_text("# by hand\n")
    files = Files({"new.txt": "# made\nnew\n"}, owned=("*.txt",))

    assert "old.txt: nothing makes this file any more" in files.differences(tmp_path)
    assert files.write(tmp_path) == ["new.txt", "old.txt"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["foreign.txt", "new.txt"]
    assert list(files.differences(tmp_path)) == []


def test_a_file_that_is_right_is_not_written_again(tmp_path: Path) -> None:
    files = Files({"a/b.txt": "text\n"})

    assert files.write(tmp_path) == ["a/b.txt"]
    assert files.write(tmp_path) == []
