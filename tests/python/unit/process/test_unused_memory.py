"""What dead processes of the run have left goes; what is used, or another's, stays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from python_worker.process import unused_memory
from python_worker.process.run_folder import SHARED_MEMORY
from python_worker.process.unused_memory import Sweeper

# Holds a piece in one of the ways in which a process can.
HOLDERS = {
    "open": "file = open(sys.argv[1], 'rb')",
    "mapped": (
        "import mmap; file = open(sys.argv[1], 'r+b')\n"
        "mapped = mmap.mmap(file.fileno(), 0); file.close()"
    ),
}


@pytest.fixture
def folder() -> Path:
    """The folder of a run of its own; only its name matters."""
    return Path(f"/tmp/vllm-{uuid4().hex[:8]}")


@pytest.fixture
def piece(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a piece of shared memory."""
    made: list[Path] = []

    def make(name: str) -> Path:
        path = SHARED_MEMORY / name
        path.write_bytes(b"some")
        made.append(path)
        return path

    yield make
    for path in made:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("how", HOLDERS)
def test_a_piece_goes_when_its_last_user_is_killed(
    how: str, folder: Path, piece: Callable[[str], Path]
) -> None:
    # As vLLM names it with tensor parallelism on a CPU: see ``run_folder.use_file_store``.
    path = piece(f"{folder.name}_dist_{uuid4().hex}-tp:0-[0-1]-cpushm_0")
    code = f"import sys\n{HOLDERS[how]}\nprint('held', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == b"held\n"
        assert Sweeper(folder).sweep() == []
        assert path.exists()
        user.kill()
    assert Sweeper(folder).sweep() == [path]
    assert not path.exists()


def test_nothing_goes_if_a_process_of_the_worker_hides_what_it_has(
    folder: Path, piece: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = piece(f"{folder.name}_psm")
    ours = {str(os.getpid()): PermissionError, "1": PermissionError}
    held = unused_memory.held

    def hiding(process: Path) -> Iterator[str]:
        if (error := ours.get(process.name)) is not None:
            raise error
        return held(process)

    monkeypatch.setattr(unused_memory, "held", hiding)
    assert Sweeper(folder).sweep() == []
    del ours[str(os.getpid())]
    # Of another user, as process 1 is.
    assert Sweeper(folder).sweep() == [path]


def test_what_is_of_another_run_stays(folder: Path, piece: Callable[[str], Path]) -> None:
    others = [
        piece(f"{folder.name}0_psm"),
        piece(f"vllm-{uuid4().hex[:8]}_psm"),
        piece(uuid4().hex),
    ]
    assert Sweeper(folder).sweep() == []
    assert all(it.exists() for it in others)


async def test_it_looks_again_for_what_large_processes_have_held(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unused_memory, "LOOKS", (0.01, 0.02, 0.03))
    looks: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(
        Sweeper, "sweep", lambda it: loop.call_soon_threadsafe(looks.put_nowait, None)
    )
    sweeper = Sweeper(folder)
    for _ in range(100):
        sweeper.engine_ended()
    for _ in range(3):
        await looks.get()
    # Engines that end together share them.
    assert looks.empty()
    assert {it.when() < loop.time() for it in sweeper._timers.values()} == {True}
