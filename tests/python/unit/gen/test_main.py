"""What is committed under generated/ is what the generators make today.

The manifest itself is compared in the vllm lane: that needs vLLM.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from python_worker.gen import __main__ as gen
from python_worker.gen.files import Files

needs_elixir = pytest.mark.skipif(
    shutil.which("elixir") is None, reason="generated Elixir is formatted by elixir"
)
needs_protoc = pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None, reason="protoc is in grpcio-tools"
)


@needs_elixir
@needs_protoc
def test_protobuf_code_is_current() -> None:
    assert gen.main(["--check", "--only", "protobuf"]) == 0


@needs_elixir
def test_elixir_structs_are_current() -> None:
    assert gen.main(["--check", "--only", "elixir"]) == 0


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
