"""Runs headless nodes for tests: `python -m python_worker.node` with a log to wait for.

``two_hosts`` is a node with the worker that has its head, for an engine of two cores.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Session
from tests.python.support.worker import ROOT, STARTED, Worker, assert_group_gone, members_of
from tests.python.support.workers import ONE_PROCESS, REAL_ENVIRONMENT, Workers, real_arguments

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

    def processes_of(self, name: str) -> list[int]:
        """The ids of its processes of a name."""
        return [pid for pid, command in members_of(self.pid).items() if name in command]

    def process_of(self, name: str) -> int:
        """The id of one of its processes, the only one of a name."""
        (pid,) = self.processes_of(name)
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


@dataclass(frozen=True)
class TwoHosts:
    """A worker and a node, for an engine with a core on each.

    Attributes:
        head: The worker.
        node: Has the core of rank 1.
        arguments: Of the engine.
    """

    head: Worker
    node: Node
    arguments: dict[str, object]


@contextmanager
def two_hosts(
    workers: Workers,
    folder: Path,
    model: ScriptedModel,
    *,
    node_options: Sequence[str] = (),
    head_options: Sequence[str] = (),
    may_end: bool = False,
    **engine: object,
) -> Iterator[TwoHosts]:
    """A worker and a node until the block ends. The node imports vLLM while the worker starts.

    Args:
        workers: Starts the worker.
        folder: For the node's log.
        model: What the engine serves.
        node_options: More of the node's command line.
        head_options: More of the worker's.
        may_end: As of ``Workers.running``.
        engine: More arguments of the engine, at its head.
    """
    port = free_port()
    arguments = real_arguments(
        model,
        **ONE_PROCESS,
        data_parallel_size=2,
        data_parallel_size_local=1,
        data_parallel_address="127.0.0.1",
        data_parallel_rpc_port=port,
        **engine,
    )
    options = (
        *(str(model.path), "--head", f"127.0.0.1:{port}", "--start-rank", "1"),
        *("--data-parallel-size", "2", "--dtype", "float32", "--enforce-eager"),
        *("--max-model-len", "1024", *node_options),
    )
    with (
        running_node(folder, *options) as node,
        workers.running("head", *head_options, real=True, may_end=may_end) as head,
    ):
        yield TwoHosts(head, node, arguments)


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
