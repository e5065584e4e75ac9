"""The parent that process 1 becomes: it passes signals on, and leaves no zombie."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.python.support.namespaces import NAMESPACE, needs_namespaces

# What follows it is the worker.
AS_WORKER = "from python_worker.process import init_process; init_process.{0}()\n"

STOPS_ON_SIGTERM = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
while True:
    signal.pause()
"""

ENDS_WITH_AN_ORPHAN = """
import os, sys, time
from pathlib import Path
def states():
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()[:2]
    return found
if (middle := os.fork()) == 0:
    if (orphan := os.fork()) == 0:
        os.execvp("sleep", ["sleep", "0"])
    os._exit(0)
assert os.waitpid(middle, 0)[1] == 0, "the worker's own children are its own"
while len(states()) > 2:
    time.sleep(0.01)
print(sorted(states()), os.getppid(), flush=True)
"""


def started(
    code: str, *, prefix: tuple[str, ...] = (), by: str = "stand_before_worker"
) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-c", AS_WORKER.format(by) + code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def test_a_signal_reaches_the_worker_and_its_status_is_the_status() -> None:
    with started(STOPS_ON_SIGTERM) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 7


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("import os; os._exit(3)", 3),
        ("", 0),
    ],
)
def test_it_ends_with_the_worker(code: str, status: int) -> None:
    with started(code) as process:
        assert process.wait(60) == status


def test_the_pipes_are_the_workers() -> None:
    code = "import os; os.close(1); os.close(0); signal.pause()"
    with started(f"import signal; {code}") as process:
        assert process.stdout is not None
        assert process.stdout.read() == "", "it sees the end, which the worker has made"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM


def test_elsewhere_the_process_stays_what_it_is() -> None:
    with started("import os; print(os.getpid())", by="leave_process_1") as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid


@needs_namespaces
def test_process_1_waits_for_orphans() -> None:
    with started(ENDS_WITH_AN_ORPHAN, prefix=NAMESPACE, by="leave_process_1") as process:
        assert process.stdout is not None
        processes, parent = process.stdout.read().rsplit(" ", 1)
        assert process.wait(60) == 0
    assert int(parent) == 1
    assert processes == "[1, 2]", "process 1 and the worker, and no zombie"


@needs_namespaces
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_process_1_passes_a_signal_on_that_it_has_not_asked_for(number: signal.Signals) -> None:
    code = STOPS_ON_SIGTERM.replace("SIGTERM", number.name)
    with started(code, prefix=NAMESPACE, by="leave_process_1") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(only_child(process.pid), number)
        assert process.wait(60) == 7


def only_child(pid: int) -> int:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return int(file.read())
