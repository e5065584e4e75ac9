"""How tests get a worker and an engine: the one place where either is started.

`Workers` starts worker processes and ends them with the fixture or the block they belong to;
``conftest.py`` has the fixture ``workers``. `fake_engine` and `real_engine` say what an engine of
the tests is made from.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.values import Record, Ref
from tests.python.support.worker import FAKE_ENGINE, Worker

#: For workers with real engines, on a machine that may have little memory.
REAL_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    # Compiling takes seconds and blocks the engine the first time logprobs are asked for.
    "TORCHDYNAMO_DISABLE": "1",
    # Otherwise the workers of all engines share one core.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}

#: Beside the sessions of the other lanes an engine would otherwise take minutes to start.
NO_LOWER_PRIORITY = ("--nice", "0")

#: Of an engine: its model runs in EngineCore's own process. Half the memory and half the time to
#: start of vLLM's way on a CPU, EngineCore and a process with the model.
ONE_PROCESS: dict[str, object] = {
    "distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor"
}


class Workers:
    """Starts worker processes, each with a folder of its own for its socket and its log."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders

    @contextmanager
    def running(
        self,
        name: str,
        *arguments: str,
        real: bool = False,
        listen: str | None = None,
        environment: dict[str, str] | None = None,
        may_end: bool = False,
    ) -> Iterator[Worker]:
        """A worker until the block ends; then it is stopped, and must stop cleanly.

        Args:
            name: Of its folder.
            arguments: More of the command line.
            real: Whether its engines are vLLM's instead of fake ones.
            listen: An address; None for a Unix socket in the folder.
            environment: More environment.
            may_end: Whether the test ends the worker itself. Then it is killed if it still runs.
        """
        worker = Worker.start(
            self._folders.mktemp(name),
            engine_class=None if real else FAKE_ENGINE,
            listen=listen,
            arguments=(*(NO_LOWER_PRIORITY if real else ()), *arguments),
            environment={**(REAL_ENVIRONMENT if real else {}), **(environment or {})},
        )
        try:
            yield worker
        finally:
            if may_end:
                _kill(worker)
            else:
                worker.stop()


def _kill(worker: Worker) -> None:
    if worker.process.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    worker.close()


class Caller(Protocol):
    """A client or a session."""

    async def call(self, target: Any, method: str, /, *args: object, **kwargs: Any) -> Any:
        """Calls a method and returns its value."""


def fake_arguments(fake: dict[str, object] | None = None, **arguments: object) -> Record:
    """The arguments of a fake engine; `fake` says how it behaves from the start."""
    config = {"additional_config": {"fake": fake}} if fake else {}
    return Record("AsyncEngineArgs", {"model": "fake", **config, **arguments})


async def fake_engine(
    caller: Caller, fake: dict[str, object] | None = None, **arguments: object
) -> Ref:
    """Builds a fake engine, which the test shuts down."""
    ref: Ref = await caller.call("AsyncLLM", "from_engine_args", fake_arguments(fake, **arguments))
    return ref


def real_arguments(model: ScriptedModel, **arguments: object) -> dict[str, object]:
    """The arguments of a real engine of the scripted model."""
    return {
        "model": str(model.path),
        "dtype": "float32",
        "enforce_eager": True,
        "max_model_len": 1024,
        **arguments,
    }
