"""The configuration objects of the fake engine, as far as its constructors need them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class Executor:
    """What runs a model; the fake engine has none, but takes its class as vLLM does."""

    @classmethod
    def get_class(cls, vllm_config: VllmConfig) -> type[Executor]:
        """Returns the class that a configuration asks for, by a name or by the path of a class."""
        backend = vllm_config.parallel_config.distributed_executor_backend
        return EXECUTORS.get(backend) or _CLASSES.get(backend.rpartition(".")[2], Executor)


class MultiprocExecutor(Executor):
    """The one that vLLM takes by default."""


class UniProcExecutor(Executor):
    """The one without processes of its own."""


EXECUTORS: dict[str, type[Executor]] = {"mp": MultiprocExecutor, "uni": UniProcExecutor}
_CLASSES = {executor.__name__: executor for executor in EXECUTORS.values()}

StatLoggerFactory = Callable[..., Any]


@dataclass
class ParallelConfig:
    """How the model is spread."""

    distributed_executor_backend: str = "mp"
    data_parallel_size: int = 1


@dataclass
class VllmConfig:
    """The configuration of one engine, made from ``AsyncEngineArgs``; a part of vLLM's."""

    engine_args: Any
    parallel_config: ParallelConfig = field(default_factory=ParallelConfig)


def create_engine_config(engine_args: Any) -> VllmConfig:
    """Returns the configuration that arguments stand for."""
    backend = engine_args.distributed_executor_backend or "mp"
    return VllmConfig(
        engine_args,
        ParallelConfig(backend, engine_args.data_parallel_size),
    )
