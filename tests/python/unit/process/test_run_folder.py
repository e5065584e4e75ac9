"""The folder of a run: how files are named, and which are removed after a kill."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import types
from collections.abc import Iterator
from multiprocessing import shared_memory
from pathlib import Path

import pytest

from python_worker.process import folder_choice, run_folder
from python_worker.settings import SettingsError


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves the environment and the names of shared memory as they were."""
    names = ("_SHM_NAME_PREFIX", "_SHM_SAFE_NAME_LENGTH")
    before = {name: vars(shared_memory)[name] for name in names}
    monkeypatch.delenv(run_folder.FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv(run_folder.SOCKETS_VARIABLE, raising=False)
    yield
    vars(shared_memory).update(before)
    for name in (run_folder.FOLDER_VARIABLE, run_folder.SOCKETS_VARIABLE):
        os.environ.pop(name, None)


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files that is the test's own, with a short path."""
    folder = folder_choice.make_in("/tmp")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(folder_choice, "ALWAYS", ())
    yield folder
    shutil.rmtree(folder)


def test_files_and_shared_memory_carry_the_name_of_the_run(temporary: Path) -> None:
    (folder,) = run_folder.create()
    assert folder.parent == temporary
    assert os.environ[run_folder.FOLDER_VARIABLE] == str(folder)
    piece = shared_memory.SharedMemory(create=True, size=8)
    try:
        assert piece.name.startswith(f"{folder.name}_")
    finally:
        piece.close()
        piece.unlink()


def test_the_folder_that_a_client_names_is_used(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run_folder.FOLDER_VARIABLE, str(temporary / "named"))
    assert run_folder.create() == (temporary / "named",)


def test_sockets_of_vllm_lie_in_the_folder_whatever_the_environment_says(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere nobody would remove them; the variable says where the folder is made."""
    (temporary / "rpc").mkdir()
    monkeypatch.setenv(run_folder.SOCKETS_VARIABLE, str(temporary / "rpc"))
    (folder,) = run_folder.create()
    assert folder.parent == temporary / "rpc"
    assert os.environ[run_folder.SOCKETS_VARIABLE] == str(folder)


@pytest.mark.parametrize(("length", "fits"), [(70, True), (71, False)])
def test_a_named_folder_has_room_for_the_sockets_of_vllm(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, length: int, fits: bool
) -> None:
    name = "x" * (length - len(str(temporary)) - 1)
    monkeypatch.setenv(run_folder.FOLDER_VARIABLE, str(temporary / name))
    if fits:
        assert run_folder.create() == (temporary / name,)
    else:
        with pytest.raises(SettingsError, match="at most 70 letters"):
            run_folder.create()


def test_a_named_folder_that_is_not_empty_is_refused_and_kept(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run_folder.FOLDER_VARIABLE, str(temporary))
    (temporary / "file").touch()
    with pytest.raises(SettingsError, match="not empty"):
        run_folder.create()
    assert os.listdir(temporary) == ["file"]


def test_a_named_folder_is_closed_to_others_and_a_link_is_refused(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "open").mkdir(mode=0o755)
    (temporary / "link").symlink_to("open")
    monkeypatch.setenv(run_folder.FOLDER_VARIABLE, str(temporary / "link"))
    with pytest.raises(SettingsError, match="no folder of this user"):
        run_folder.create()
    monkeypatch.setenv(run_folder.FOLDER_VARIABLE, str(temporary / "open"))
    run_folder.create()
    assert stat.S_IMODE((temporary / "open").stat().st_mode) == 0o700


def test_the_other_folder_of_the_run_is_locked_and_removed_too(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client makes it, under the same name, if its sockets lie elsewhere than vLLM's."""
    folder, sockets = temporary / "vllm-1", temporary / "ü" / "vllm-1"
    sockets.mkdir(parents=True)
    abandoned = temporary / "ü" / "vllm-0"
    abandoned.mkdir()
    (abandoned / run_folder.LOCK).touch()
    os.utime(abandoned / run_folder.LOCK, (0, 0))
    monkeypatch.setenv(run_folder.FOLDER_VARIABLE, str(folder))
    listen = [f"unix:{sockets}/s", f"unix:{temporary}/other/s", "tcp:127.0.0.1:0"]
    folders = run_folder.create(listen)
    assert folders == (folder, sockets)
    assert (sockets / run_folder.LOCK).exists()
    assert not abandoned.exists()
    run_folder.remove(*folders)
    assert sorted(temporary.rglob("*")) == [temporary / "ü"]


def test_folders_of_dead_workers_are_removed_wherever_one_may_have_been_made(
    temporary: Path, dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "now").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary / "now"))
    monkeypatch.setattr(folder_choice, "ALWAYS", (str(temporary),))
    run_folder.create()
    assert not dead.exists()


def test_what_was_passed_over_is_logged(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(folder_choice, "ALWAYS", (str(temporary),))
    monkeypatch.setenv("TMPDIR", "/nowhere")
    with caplog.at_level("INFO"):
        run_folder.create()
        monkeypatch.delenv(run_folder.FOLDER_VARIABLE)
        temporary.chmod(0o777)
        run_folder.create()
    assert "TMPDIR (/nowhere) cannot be used" in caplog.messages[0]
    assert caplog.messages[1].startswith("other users could replace")


def test_without_a_writable_folder_the_error_says_what_to_do(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(run_folder.FOLDER_VARIABLE, str(temporary / "no" / "such"))
    with pytest.raises(SettingsError, match="set TMPDIR"):
        run_folder.create()


def test_processes_of_one_engine_find_each_other_through_the_folder(temporary: Path) -> None:
    (folder,) = run_folder.create()
    module = types.SimpleNamespace(get_file_store_init_method=None)
    run_folder.use_file_store(module)
    # The name of the file is the beginning of the name of shared memory.
    assert module.get_file_store_init_method().startswith(f"file://{folder}/{folder.name}_dist_")
    run_folder.use_file_store(types.SimpleNamespace())  # a vLLM that has no such function


def test_abandoned_folders_are_removed_and_locked_ones_are_not(temporary: Path) -> None:
    held = temporary / "vllm-held"
    dead = temporary / "vllm-dead"
    young = temporary / "vllm-young"
    foreign = temporary / "vllm-foreign"
    for folder in (held, dead, young, foreign):
        folder.mkdir()
    (dead / "socket").touch()
    for folder in (dead, young):
        (folder / run_folder.LOCK).touch()
    code = "import pathlib, sys; from python_worker.process import run_folder\n"
    code += "run_folder.lock_folder(pathlib.Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(held)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        for folder in (held, dead):
            os.utime(folder / run_folder.LOCK, (0, 0))
        run_folder.remove_abandoned(temporary)
        assert sorted(it.name for it in temporary.iterdir()) == [
            "vllm-foreign",
            "vllm-held",
            "vllm-young",
        ]
    finally:
        holder.kill()
        holder.communicate()
    run_folder.remove_abandoned(temporary)
    assert not held.exists()


@pytest.fixture
def dead(temporary: Path) -> Path:
    """The folder of a killed worker."""
    folder = temporary / "vllm-dead"
    folder.mkdir()
    (folder / run_folder.LOCK).touch()
    os.utime(folder / run_folder.LOCK, (0, 0))
    return folder


def test_folders_that_only_look_like_a_workers_are_kept(temporary: Path, dead: Path) -> None:
    """Not another program's folder, nor one that a link leads to, nor one locked by a link."""
    cache = temporary / "vllm-cache"
    cache.mkdir()
    (cache / "lock").touch()
    os.utime(cache / "lock", (0, 0))
    dead.rename(temporary / "else")
    (temporary / "vllm-link").symlink_to(temporary / "else")
    (temporary / "vllm-linked").mkdir()
    (temporary / "vllm-linked" / run_folder.LOCK).symlink_to(temporary / "else" / run_folder.LOCK)
    (temporary / "vllm-file").touch()
    before = sorted(temporary.rglob("*"))
    run_folder.remove_abandoned(temporary)
    assert sorted(temporary.rglob("*")) == before


def test_the_folder_of_another_users_worker_is_kept(
    temporary: Path, dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as somebody_else:
        somebody_else.setattr(os, "getuid", lambda: dead.stat().st_uid + 1)
        run_folder.remove_abandoned(temporary)
    assert dead.exists()
    run_folder.remove_abandoned(temporary)
    assert not dead.exists()


def test_without_file_locks_a_worker_starts_and_its_folder_is_kept(
    temporary: Path, dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    (folder,) = run_folder.create()
    assert dead.exists()
    monkeypatch.undo()
    for lock in folder.glob(run_folder.LOCK):
        os.utime(lock, (0, 0))
    run_folder.remove_abandoned(temporary)
    assert folder.exists()


def test_shared_memory_that_cannot_be_removed_is_ignored(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary / "vllm-1_folder").mkdir()  # not even root can unlink it
    (temporary / "vllm-1_mine").touch()
    monkeypatch.setattr(run_folder, "SHARED_MEMORY", temporary)
    run_folder.remove(temporary / "vllm-1")
    assert [it.name for it in temporary.iterdir()] == ["vllm-1_folder"]


def test_a_name_is_not_taken_for_a_pattern(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("vllm-[1]_mine", "vllm-1_theirs"):
        (temporary / name).touch()
    monkeypatch.setattr(run_folder, "SHARED_MEMORY", temporary)
    run_folder.remove(temporary / "vllm-[1]")
    assert [it.name for it in temporary.iterdir()] == ["vllm-1_theirs"]


def test_removing_a_run_removes_its_shared_memory(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = temporary / "memory"
    memory.mkdir()
    for name in ("vllm-1_abc", "vllm-12_abc", "psm_1"):
        (memory / name).touch()
    monkeypatch.setattr(run_folder, "SHARED_MEMORY", memory)
    run_folder.remove(temporary / "vllm-1")
    assert sorted(it.name for it in memory.iterdir()) == ["psm_1", "vllm-12_abc"]
