"""Mellea is imported at its first use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from python_worker.exceptions import MissingDependency
from python_worker.integrations.mellea import library


def test_a_worker_that_nobody_asks_for_mellea_does_not_import_it() -> None:
    code = (
        "import sys, python_worker.integrations.mellea.served as it; it.mellea(); "
        "print([name for name in sys.modules if name.split('.')[0] == 'mellea'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_its_log_goes_to_the_workers() -> None:
    library.load("local_backend")
    assert os.environ["MELLEA_LOGS_CONSOLE"] == "false"


def test_without_it_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingDependency, match=r"mix vllm\.setup --with mellea"):
        library.load("local_backend")


FORK = """
import multiprocessing
from python_worker.integrations.mellea import library

library.load("local_backend")
from mellea.helpers.event_loop_helper import _run_async_in_thread as run

async def answer():
    return 42

def child():
    assert run(answer()) == 42

process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
print(process.exitcode)
"""


# Upstream: test_event_loop_helper.py::test_event_loop_handler_with_forking (U-164)
def test_a_child_that_was_forked_after_the_import_runs_coroutines() -> None:
    pytest.importorskip("mellea", reason="the child imports it")
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "0", run.stderr
