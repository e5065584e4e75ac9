"""Where the folder of a run is made: over lengths, odd names, and what others may write to."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from python_worker.process import folder_choice
from python_worker.process.folder_choice import candidates, make, misfit
from python_worker.settings import SettingsError

ROOT = Path(__file__).parents[4]
CLIENT = ROOT / "elixir" / "lib" / "vllm" / "core" / "worker" / "folder.ex"

ODD_NAMES = ["ü", "a b", '"', "'", "\\", "%41", "#", "?", "a\nb", "\udcff", "~", ":", "*"]


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a short path, which is also the only one that is always tried."""
    root = folder_choice.make_in("/tmp")
    (root / "always").mkdir()
    monkeypatch.setattr(folder_choice, "ALWAYS", (str(root / "always"),))
    yield root
    for folder, _folders, _files in os.walk(root):
        os.chmod(folder, 0o700)
    shutil.rmtree(root)


def of_length(root: Path, length: int) -> Path:
    """A folder whose path has so many bytes."""
    path = root / ("x" * (length - len(str(root)) - 1))
    path.mkdir()
    return path


def can_hold_a_socket_of_vllm(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as its:
        try:
            its.bind(f"{folder}/{'x' * folder_choice.UUID_CHARACTERS}")
        except OSError:
            return False
    return True


def test_a_place_of_any_length_is_taken_if_the_sockets_fit_else_another(root: Path) -> None:
    taken = {}
    for length in range(len(str(root)) + 2, 109):
        place = of_length(root, length)
        choice = make({"TMPDIR": str(place)})
        assert can_hold_a_socket_of_vllm(choice.folder)
        taken[length] = choice.folder.parent == place
        assert (choice.passed_over == ()) == taken[length]
        if not taken[length]:
            # It was right to pass it over.
            assert not can_hold_a_socket_of_vllm(folder_choice.make_in(str(place)))
    assert [length for length, it in taken.items() if it][-1] == folder_choice.MAX_PARENT_BYTES


@pytest.mark.parametrize("length", range(1, 109))
def test_a_length_fits_as_the_kernel_has_it(length: int) -> None:
    place = "/" + "x" * (length - 1)
    whole = len(f"{place}/vllm-01234567/") + folder_choice.UUID_CHARACTERS
    assert (misfit(place) is None) == (whole <= 107)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_that_means_something_in_a_url_is_passed_over(name: str, root: Path) -> None:
    (root / name).mkdir()
    choice = make({"TMPDIR": str(root / name)})
    assert choice.folder.parent == root / "always"
    (why,) = choice.passed_over
    assert why.isascii()
    assert "characters other than letters, digits" in why


@pytest.mark.parametrize("kind", ["missing", "file", "/proc", "relative"])
def test_what_cannot_be_used_is_passed_over_with_the_reason(kind: str, root: Path) -> None:
    (root / "file").touch()
    place = kind if kind in {"/proc", "relative"} else str(root / kind)
    choice = make({"TMPDIR": place})
    assert choice.folder.parent == root / "always"
    assert choice.passed_over[0].startswith(f"TMPDIR ({place}) ")


def test_a_file_system_without_sockets_is_passed_over(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = socket.socket.bind

    def refuse(self: socket.socket, address: str) -> None:
        if not address.startswith(str(root / "always")):
            raise OSError(1, "Operation not permitted")
        bind(self, address)

    (root / "place").mkdir()
    monkeypatch.setattr(socket.socket, "bind", refuse)
    choice = make({"TMPDIR": str(root / "place")})
    assert choice.passed_over == (
        f"TMPDIR ({root}/place) allows no sockets: Operation not permitted",
    )
    assert os.listdir(root / "place") == []


@pytest.mark.parametrize("place", ["open", "open/in", "link"])
def test_where_others_may_rename_files_is_only_taken_if_there_is_no_other(
    place: str, root: Path
) -> None:
    (root / "open" / "in").mkdir(parents=True)
    (root / "open").chmod(0o777)
    (root / "link").symlink_to("open")
    choice = make({"TMPDIR": str(root / place)})
    assert choice.folder.parent == root / "always"
    assert "every user may rename files" in choice.passed_over[0]
    assert choice.warning is None
    (root / "always").chmod(0o777)
    choice = make({"TMPDIR": str(root / place)})
    assert choice.folder.parent == root / place
    assert "every user may rename files" in (choice.warning or "")
    assert len(choice.passed_over) == 1


def test_the_folder_of_another_user_is_only_taken_if_there_is_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: root.stat().st_uid + 1)
    if root.stat().st_uid == 0:
        os.chown(root, 1, -1)
    choice = make({})
    assert "belongs to another user" in (choice.warning or "")


def test_the_sticky_bit_makes_a_place_for_all_safe(root: Path) -> None:
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o1777)
    choice = make({"TMPDIR": str(root / "sticky")})
    assert choice.folder.parent == root / "sticky"
    assert choice.warning is None


def test_the_folder_is_new_and_for_this_user_only(root: Path) -> None:
    one, other = make({}).folder, make({}).folder
    assert one != other
    assert stat.S_IMODE(one.stat().st_mode) == 0o700
    assert os.listdir(one) == []


def test_the_first_variable_that_fits_is_taken(root: Path) -> None:
    for name in folder_choice.VARIABLES:
        (root / name).mkdir()
    environ = {name: str(root / name) for name in folder_choice.VARIABLES}
    for name in folder_choice.VARIABLES:
        assert make(environ).folder.parent == root / name
        del environ[name]


def test_without_a_place_the_error_names_each_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folder_choice, "ALWAYS", ("/nowhere",))
    with pytest.raises(SettingsError, match="no folder fits") as caught:
        make({"TMPDIR": "/proc"})
    assert "TMPDIR (/proc) cannot be used: " in str(caught.value)
    assert "/nowhere cannot be used: No such file" in str(caught.value)
    assert "set TMPDIR" in str(caught.value)


def test_empty_variables_are_none() -> None:
    assert [path for _, path in candidates({"TMPDIR": ""})] == list(folder_choice.ALWAYS)


def test_the_client_has_the_same_places_and_the_same_limits() -> None:
    """The rules themselves are tested on both sides, over the same lengths and names."""
    source = CLIENT.read_text(encoding="utf-8")
    quoted = [f'"{it}"' for it in (*folder_choice.VARIABLES, *folder_choice.ALWAYS)]
    positions = [source.index(it) for it in quoted]
    assert positions == sorted(positions)
    assert f"@uuid_bytes {folder_choice.UUID_CHARACTERS}" in source
    assert folder_choice.PLAIN.pattern.removesuffix(r"*\Z") in source
