"""A cluster of Ray's on this machine, with a Ray that the tests' environment does not have.

``make test-hosts`` puts Ray into a folder of its own and names it in the environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.python.support.node import free_port
from tests.python.support.worker import ROOT
from tests.python.support.workers import REAL_ENVIRONMENT

#: Names the folder with Ray.
VARIABLE = "VLLM_BRIDGE_RAY"

#: What a cluster claims to have. Its processes share the machine's cores all the same.
DEVICES = 4

#: The names of processes that a cluster has without an actor.
OF_RAY = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent")

COLOURS = re.compile(r"\x1b\[[0-9;]*m")

# A guard only: the machine may be busy with other things.
SECONDS = 240.0


class Cluster:
    """A running cluster.

    Attributes:
        process: Ray's own, which has all others below it.
        node: The address of this machine, as Ray has it.
        environment: For a worker whose engines run in it.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], node: str, environment: dict[str, str]
    ) -> None:
        self.process = process
        self.node = node
        self.environment = environment

    def actors(self) -> dict[int, str]:
        """The processes that run something, by their ids."""
        found = {}
        for process in processes_below(self.process.pid):
            try:
                name = " ".join(process.cmdline())
            except psutil.Error:  # it has ended
                continue
            if name.startswith("ray::") and not name.startswith(OF_RAY):
                found[process.pid] = name
        return found


def processes_below(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it; none if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster until the block ends; no process of it is left then."""
    packages = os.environ.get(VARIABLE)
    if not packages:
        pytest.skip(f"{VARIABLE} does not say where Ray is: `make test-hosts` does")
    port = free_port()
    # Ray's sockets are in it, and their paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    path = [packages, str(ROOT / "tests/python/support/ray_on_cpu"), str(ROOT)]
    environment = {
        **REAL_ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join(path),
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray would hide devices that a process asks none of, as vLLM's driver.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(f"--port={port}", f"--num-cpus={DEVICES}", f"--num-gpus={DEVICES}"),
        *("--include-dashboard=false", "--disable-usage-stats"),
        *("--object-store-memory=200000000", f"--temp-dir={folder}"),
    ]
    own = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
    log = folder / "head.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **own}, stdout=output, stderr=output
        )
    try:
        yield Cluster(process, _wait_started(process, log), environment)
    finally:
        _end(process)
        shutil.rmtree(folder)


def _wait_started(process: subprocess.Popen[bytes], log: Path) -> str:
    """Returns the address of the node when it runs."""
    deadline = time.monotonic() + SECONDS
    while "Ray runtime started" not in (said := log.read_text(errors="replace")):
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
    node = re.search(r"Local node IP: ([\d.]+)", COLOURS.sub("", said))
    assert node is not None, said
    return node[1]


def _end(process: subprocess.Popen[bytes]) -> None:
    below = processes_below(process.pid)
    for each in below:
        try:
            each.terminate()
        except psutil.NoSuchProcess:
            continue
    _, left = psutil.wait_procs(below, timeout=10)
    for each in left:
        each.kill()
    process.wait()
