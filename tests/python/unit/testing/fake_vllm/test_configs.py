"""The configuration of a fake engine."""

from __future__ import annotations

import pytest

from python_worker.testing.fake_vllm import configs
from python_worker.testing.fake_vllm.types import AsyncEngineArgs


@pytest.mark.parametrize(
    ("backend", "executor"),
    [
        (None, configs.MultiprocExecutor),
        ("mp", configs.MultiprocExecutor),
        ("uni", configs.UniProcExecutor),
        ("vllm.v1.executor.uniproc_executor.UniProcExecutor", configs.UniProcExecutor),
        ("vllm.v1.executor.multiproc_executor.MultiprocExecutor", configs.MultiprocExecutor),
        # Those that the fake engine has no class for.
        ("ray", configs.Executor),
        ("my_app.executors.MyExecutor", configs.Executor),
    ],
)
def test_the_executor_is_the_one_that_was_asked_for(
    backend: str | None, executor: type[configs.Executor]
) -> None:
    arguments = AsyncEngineArgs(distributed_executor_backend=backend, data_parallel_size=2)
    config = configs.create_engine_config(arguments)
    assert configs.Executor.get_class(config) is executor
    assert config.parallel_config.data_parallel_size == 2
    assert config.engine_args is arguments
