"""The lock between processes: they take turns, and a process that ends gives it back."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from python_worker.install.locks import locked
from python_worker.install.progress import Progress

HOLD = """
import sys
from pathlib import Path
from python_worker.install.locks import locked
from python_worker.install.progress import Progress

with locked(Path(sys.argv[1]), Progress("other"), "nobody"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_at_once_take_turns(tmp_path: Path) -> None:
    waiting = threading.Event()
    order: list[str] = []

    def second() -> None:
        waiting.set()
        with locked(tmp_path / "lock", Progress("second"), "the first"):
            order.append("second")

    with locked(tmp_path / "lock", Progress("first"), "nobody"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(5)
        thread.join(0.3)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_a_process_that_is_killed_gives_its_lock_back(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[4],
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        other.kill()
    with locked(tmp_path / "lock", Progress("this"), "the other"):
        pass
