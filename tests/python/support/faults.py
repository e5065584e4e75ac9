"""Faults inside vLLM's own processes, which no request of a client can bring about.

vLLM takes the classes by import path, so nothing of it is patched from outside: ``scheduler_cls``
is imported in EngineCore, ``worker_extension_cls`` and ``worker_cls`` in its workers.
"""

from __future__ import annotations

import time
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.engine.core import EngineCore
from vllm.v1.worker.cpu_worker import CPUWorker

from python_worker.testing.worker_extension import WorkerExtension

#: A request with this salt fails before it is scheduled.
UNLUCKY = "unlucky"

_preprocess = EngineCore.preprocess_add_request


def _preprocess_or_fail(self: EngineCore, request: Any) -> Any:
    if request.cache_salt == UNLUCKY:
        raise ValueError("this request is unlucky")
    return _preprocess(self, request)


class FaultyScheduler(AsyncScheduler):  # type: ignore[misc]
    """vLLM's scheduler, in an EngineCore whose preprocessing can fail."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        EngineCore.preprocess_add_request = _preprocess_or_fail
        super().__init__(*args, **kwargs)


class FaultyWorker(WorkerExtension):
    """The worker extension of the tests, and a forward pass that can fail."""

    model_runner: Any

    def linger(self, seconds: float) -> None:
        """Holds up the worker for a while."""
        time.sleep(seconds)

    def fail_forward(self) -> None:
        """From now on every step of the model raises."""

        def execute_model(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("the forward pass failed")

        self.model_runner.execute_model = execute_model


class NotLoading(CPUWorker):  # type: ignore[misc]
    """A worker whose first rank cannot load its weights."""

    def load_model(self, *args: Any, **kwargs: Any) -> None:
        """Raises in one of the processes; the others load."""
        if self.rank == 0:
            raise RuntimeError("the weights are unreadable")
        super().load_model(*args, **kwargs)


class NotWarmingUp(CPUWorker):  # type: ignore[misc]
    """A worker whose first rank fails in its first forward pass, when the weights are there."""

    def compile_or_warm_up_model(self, *args: Any, **kwargs: Any) -> Any:
        """Raises in one of the processes."""
        if self.rank == 0:
            raise RuntimeError("the first forward pass failed")
        return super().compile_or_warm_up_model(*args, **kwargs)


class NeverReady(CPUWorker):  # type: ignore[misc]
    """A worker that loads for ever."""

    def load_model(self, *args: Any, **kwargs: Any) -> None:
        """Never returns."""
        time.sleep(3600)
