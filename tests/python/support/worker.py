"""Starts real worker processes for tests, and knows whether anything of them is left."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

ROOT = Path(__file__).parents[3]
READY = "VLLM_BRIDGE READY "
FAKE_ENGINE = "python_worker.testing.fake_engine:FakeAsyncLLM"
TOKEN = "a token for tests"

# Guards only: the machine may be busy with other things.
START_SECONDS = 120.0
STOP_SECONDS = 120.0
GONE_SECONDS = 60.0

#: The process groups of all workers that this test session has started.
STARTED: set[int] = set()


@dataclass
class Worker:
    """A running worker process.

    Attributes:
        process: The process; its stdin is the lifeline.
        address: Where it serves gRPC, as gRPC wants it.
        session_address: Where it opens sessions, in the same form.
        incarnation: The incarnation it announced.
        log: The file that has everything it printed after the ready line.
        metrics: The URLs of its metrics over TCP.
    """

    process: subprocess.Popen[bytes]
    address: str
    session_address: str
    incarnation: str
    log: Path
    metrics: tuple[str, ...] = ()

    @property
    def pid(self) -> int:
        """The process id, which is that of the process group as well."""
        return self.process.pid

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        engine_class: str | None = FAKE_ENGINE,
        listen: str | None = None,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> Worker:
        """Starts a worker and returns when it serves.

        Args:
            folder: Of its own: for the socket and the log.
            engine_class: None for vLLM's.
            listen: An address; None for a Unix socket in the folder.
            arguments: More of the command line.
            environment: More environment.
        """
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "python_worker", "--lifeline", "stdin"]
        command += ["--listen", listen or f"unix:{folder}/socket", *arguments]
        if engine_class is not None:
            command += ["--engine-class", engine_class]
        log = folder / "log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**inherited(), "VLLM_BRIDGE_TOKEN": TOKEN, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        STARTED.add(process.pid)
        try:
            ready = json.loads(_ready_line(process, log).removeprefix(READY))
        except BaseException:
            process.kill()
            process.wait()
            raise
        assert ready["pid"] == process.pid
        address, session_address = (
            ready.get(name, "").removeprefix("tcp:").removeprefix("tls://")
            for name in ("grpc_address", "address")
        )
        metrics = tuple(
            f"http://{it.removeprefix('tcp:')}/metrics" for it in ready.get("metrics_addresses", ())
        )
        return cls(process, address, session_address, ready["incarnation"], log, metrics)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def cut_lifeline(self) -> None:
        """Ends its stdin, as the death of the client does."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Waits for its end and returns the exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"the worker did not end; its log:\n{self.tail()}") from error

    def stop(self) -> None:
        """Stops it as an operator would, and checks that it went cleanly."""
        if self.process.poll() is None:
            self.terminate()
        status = self.wait()
        self.close()
        assert status == 0, f"exit status {status}; its log:\n{self.tail()}"
        assert_group_gone(self.pid)

    def close(self) -> None:
        """Closes our ends of its pipes."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def tail(self, characters: int = 8000) -> str:
        """Returns the end of its log."""
        return self.log.read_text(errors="replace")[-characters:]

    def rest_of_stdout(self) -> bytes:
        """Returns what came on stdout after the ready line, once the process has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def sockets(self) -> list[Path]:
        """Returns its Unix sockets that are there."""
        uris = (self.session_address, self.address)
        paths = (unquote_to_bytes(uri.removeprefix("unix:")) for uri in uris)
        return [path for path in (Path(os.fsdecode(it)) for it in paths) if path.exists()]

    def has_mapped(self, library: str) -> bool:
        """Tells whether a shared library is loaded in the process."""
        return library in Path(f"/proc/{self.pid}/maps").read_text()

    def rss_bytes(self) -> int:
        """Returns how much memory it has at the moment."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGESIZE"
        )


def _ready_line(process: subprocess.Popen[bytes], log: Path) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + START_SECONDS
    line = b""
    # Byte by byte, so that nothing after the line is taken from the pipe.
    while not line.endswith(b"\n"):
        wait = deadline - time.monotonic()
        if not select.select([process.stdout], [], [], max(wait, 0))[0]:
            raise AssertionError(f"no ready line in {START_SECONDS} s; log:\n{log.read_text()}")
        byte = os.read(process.stdout.fileno(), 1)
        if not byte:
            raise AssertionError(f"the worker ended; got {line!r}; log:\n{log.read_text()}")
        line += byte
    text = line.decode()
    assert text.startswith(READY), f"the first line on stdout is {text!r}"
    return text


def inherited() -> dict[str, str]:
    """The environment of the tests, without what vLLM sets in it when tests use it in process.

    A worker would take it for its operator's, and spawn every process of an engine.
    """
    return {name: it for name, it in os.environ.items() if name != "VLLM_WORKER_MULTIPROC_METHOD"}


def members_of(group: int) -> dict[int, str]:
    """Returns the living processes of a process group, by id, with their command lines."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything; what follows it does not.
            state, _, of_group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                command = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(stat.parent.name)] = command.decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
    return found


def wait_group_gone(
    group: int, timeout: float = GONE_SECONDS, *, but: Collection[int] = ()
) -> dict[int, str]:
    """Waits for a process group to be empty, but for some processes.

    Returns:
        What is left at the end of the time.
    """
    deadline = time.monotonic() + timeout
    while (left := _members_but(group, but)) and time.monotonic() < deadline:
        time.sleep(0.02)  # there is nothing to wait on for somebody else's children
    return left


def _members_but(group: int, but: Collection[int]) -> dict[int, str]:
    return {pid: command for pid, command in members_of(group).items() if pid not in but}


def assert_group_gone(group: int, timeout: float = GONE_SECONDS) -> None:
    """Checks that no process of a worker's group is alive."""
    assert wait_group_gone(group, timeout) == {}
