"""Forks of a fork server in place of spawned processes. With vLLM: `vllm/test_fork_server.py`."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import forkserver, popen_forkserver, popen_spawn_posix
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.process import fork_server
from python_worker.process.fork_server import CONTEXT, ForkServer, differences, preferring

# Makes processes as vLLM does, from a fork server that has preloaded nothing. Prints what each
# says, and waits.
ASKING = """
import multiprocessing, os, sys, time
from multiprocessing import forkserver
from python_worker.process.fork_server import CONTEXT

def tell(reader, writer):
    import signal
    terminated = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    writer.send((os.getpid(), os.getppid(), os.environ.get("CUDA_VISIBLE_DEVICES"), terminated))
    time.sleep(600)

if __name__ == "__main__":
    forkserver.set_forkserver_preload([])
    reader, writer = CONTEXT.Pipe(duplex=False)
    for value in sys.argv[1:]:
        name, _, value = value.partition("=")
        os.environ[name] = value
        made = CONTEXT.Process(target=tell, args=(None, writer), daemon=True)
        made.start()
        print(*reader.recv(), forkserver._forkserver._forkserver_pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def asking(tmp_path: Any) -> Iterator[Any]:
    """Starts a process that makes others, each after a variable is set."""
    started: list[subprocess.Popen[str]] = []
    script = tmp_path / "asking.py"
    script.write_text(ASKING)

    def start(*variables: str) -> tuple[subprocess.Popen[str], list[list[str]]]:
        environ = {**os.environ, "PYTHONPATH": os.getcwd()}
        process = subprocess.Popen(
            [sys.executable, str(script), *variables],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        started.append(process)
        assert process.stdout is not None
        return process, [process.stdout.readline().split() for _ in variables]

    yield start
    # At the end of its input each ends, and what it has made.
    for process in started:
        process.communicate()


def wait_gone(pid: int) -> None:
    """Returns when a process has ended."""
    ended = os.pidfd_open(pid)
    try:
        multiprocessing.connection.wait([ended])
    finally:
        os.close(ended)


def test_a_fork_has_the_environment_of_who_asks_and_ends_by_sigterm(asking: Any) -> None:
    _, [first, second] = asking("CUDA_VISIBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES=1")
    assert [first[2:4], second[2:4]] == [["0", "True"], ["1", "True"]]
    # Both are children of the fork server, which is the same.
    assert first[1] == first[4] == second[1] == second[4]


def test_a_process_with_another_environment_is_spawned(asking: Any) -> None:
    process, [fork, spawned] = asking("CUDA_VISIBLE_DEVICES=0", "OMP_NUM_THREADS=7")
    assert fork[1] == fork[4]
    assert int(spawned[1]) == process.pid


@pytest.mark.parametrize("stopped", [False, True])
def test_the_kernel_kills_a_fork_when_who_asked_for_it_ends(asking: Any, stopped: bool) -> None:
    process, [[fork, *_]] = asking("CUDA_VISIBLE_DEVICES=0")
    if stopped:
        os.kill(int(fork), signal.SIGSTOP)
    process.kill()
    wait_gone(int(fork))


def test_a_fork_server_that_was_killed_is_started_again(asking: Any) -> None:
    script = ("CUDA_VISIBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES=1")
    _, [first, second] = asking(*script)
    assert first[4] == second[4]
    os.kill(int(first[4]), signal.SIGKILL)
    _, [third] = asking("CUDA_VISIBLE_DEVICES=0")
    assert third[1] == third[4] != first[4]


@pytest.mark.parametrize(
    ("server", "process", "names"),
    [
        ({}, {}, []),
        ({"A": "1"}, {"A": "2", "LOCAL_WORLD_SIZE": "2"}, []),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, {}, []),
        ({"VLLM_A": "1", "HF_A": "1"}, {"VLLM_A": "2"}, ["HF_A", "VLLM_A"]),
        ({"LD_PRELOAD": "x"}, {"OMP_NUM_THREADS": "1"}, ["LD_PRELOAD", "OMP_NUM_THREADS"]),
    ],
)
def test_which_variables_differ(server: Any, process: Any, names: list[str]) -> None:
    assert differences(server, process) == names


def test_another_executable_is_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.spawn, "get_executable", lambda: b"/usr/bin/numactl")
    assert ForkServer().serves({}) is False


@pytest.mark.parametrize("error", [EOFError(), ConnectionRefusedError()])
def test_what_a_fork_server_that_has_ended_does_not_give_is_spawned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(_process: Any) -> None:
        raise error

    monkeypatch.setattr(fork_server.SERVER, "serves", lambda _: True)
    monkeypatch.setattr(popen_forkserver, "Popen", fail)
    monkeypatch.setattr(popen_spawn_posix, "Popen", lambda it: ("spawned", it))
    made = SimpleNamespace()
    assert fork_server.Fork._Popen(made) == ("spawned", made)
    assert made._environ is None
    assert "so one is spawned" in caplog.text


def test_a_fork_server_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forkserver, "read_signed", forkserver.read_signed)
    monkeypatch.setattr(fork_server, "ANSWER_SECONDS", 0.01)
    fork_server.limit_waiting()
    reader, writer = os.pipe()
    # As in a worker with many clients.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    low, reader = reader, fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, 1024)
    os.close(low)
    try:
        with pytest.raises(OSError, match="has not answered"):
            forkserver.read_signed(reader)
        forkserver.write_signed(writer, 7)
        assert forkserver.read_signed(reader) == 7
    finally:
        os.close(reader)
        os.close(writer)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_only_a_context_that_spawns_is_replaced() -> None:
    module = SimpleNamespace(get_mp_context=lambda: multiprocessing.get_context("spawn"))
    ForkServer().patch(module)
    assert module.get_mp_context() is CONTEXT
    fork = multiprocessing.get_context("fork")
    assert preferring(lambda: fork)() is fork


def test_a_module_without_the_function_stays_as_it_is() -> None:
    module = SimpleNamespace()
    ForkServer().patch(module)
    assert vars(module) == {}


def test_what_is_a_fork_server() -> None:
    assert not fork_server.is_fork_server(os.getpid())
    assert not fork_server.is_fork_server(2**31 - 1)
