"""Runs headless nodes for tests: `python -m python_worker.node` with a log to wait for."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.python.support.client import Session
from tests.python.support.worker import ROOT, STARTED, Worker, assert_group_gone, members_of
from tests.python.support.workers import REAL_ENVIRONMENT

# Guards only: the machine may be busy with other things.
SECONDS = 240.0


@dataclass
class Node:
    """A running node.

    Attributes:
        process: The process; its stdin is the lifeline.
        log: The file that has everything it has printed.
    """

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The process id, which is that of the process group as well."""
        return self.process.pid

    def wait_for(self, text: str, count: int = 1) -> None:
        """Waits until the log has a text that many times."""
        self.wait(lambda: self.log.read_text(errors="replace").count(text) >= count, text)

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Waits for something."""
        deadline = time.monotonic() + SECONDS
        while not done():
            tail = self.log.read_text(errors="replace")[-4000:]
            assert self.process.poll() is None, f"the node has ended; its log:\n{tail}"
            assert time.monotonic() < deadline, f"waited for {what!r}; the node's log:\n{tail}"
            time.sleep(0.05)

    def process_of(self, name: str) -> int:
        """The id of one of its processes."""
        (pid,) = [pid for pid, command in members_of(self.pid).items() if name in command]
        return pid

    def processes(self) -> list[str]:
        """The command lines of vLLM's processes that it has."""
        return [it for it in members_of(self.pid).values() if "VLLM::" in it]

    def stop(self) -> int:
        """Stops it as an operator would; returns its exit status when nothing of it is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(SECONDS)
        assert_group_gone(self.pid)
        return status


@contextmanager
def running_node(folder: Path, *arguments: str, lifeline: str = "none") -> Iterator[Node]:
    """A node until the block ends; then it is stopped, and must stop cleanly."""
    command = [sys.executable, "-m", "python_worker.node", *arguments, "--lifeline", lifeline]
    log = folder / "node.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **REAL_ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    STARTED.add(process.pid)
    node = Node(process, log)
    try:
        yield node
        assert node.stop() == 0, log.read_text(errors="replace")[-4000:]
    finally:
        if process.poll() is None:
            # Its cores end with it.
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


async def notice(session: Session, event: str) -> Any:
    """Waits for a notice and returns what it says."""

    def came() -> list[Any]:
        return [getattr(it, event) for it in session.notices if it.WhichOneof("event") == event]

    await session.wait_for(lambda: bool(came()))
    return came()[0]


def vllm_processes(worker: Worker) -> list[str]:
    """The command lines of vLLM's processes that a worker has."""
    return [it for it in members_of(worker.pid).values() if "VLLM::" in it]


async def until(done: Callable[[], bool]) -> None:
    """Waits for what nothing tells of."""
    while not done():  # noqa: ASYNC110 - of other processes nobody tells
        await asyncio.sleep(0.05)


def free_port() -> int:
    """A port of this machine that nothing has at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
