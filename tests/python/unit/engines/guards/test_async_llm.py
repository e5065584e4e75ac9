"""Configurations, requests and calls of the workers that would end EngineCore are refused."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.engines.guards.async_llm import AsyncLLMGuard
from python_worker.engines.guards.guarded import compose
from python_worker.engines.guards.weight_updates import FROM_WITHIN, WeightUpdatesGuard
from python_worker.engines.guards.worker_extension import original_path
from python_worker.exceptions import InvalidArgument, Unsupported
from tests.python.support.engine_class import EngineClass, configuration

EXTENSION = "python_worker.testing.worker_extension.WorkerExtension"


@pytest.fixture
def engine() -> Any:
    return engine_of(configuration())


def engine_of(config: Any) -> Any:
    engine_class: Any = compose(EngineClass, (AsyncLLMGuard, WeightUpdatesGuard))
    return engine_class(vllm_config=config)


def test_a_configuration_is_checked_before_the_engine_is_built() -> None:
    with pytest.raises(InvalidArgument, match="logits_processors"):
        engine_of(configuration(logits_processors=["a:B"], runner_type="pooling"))


async def test_a_worker_extension_is_checked_and_its_methods_may_be_called() -> None:
    config = configuration()
    config.parallel_config.worker_extension_cls = EXTENSION
    engine = engine_of(config)
    path = config.parallel_config.worker_extension_cls
    assert path != EXTENSION
    assert original_path(path) == EXTENSION
    assert await engine.collective_rpc("echo") == ["echo"]


@pytest.mark.parametrize(
    ("method", "said"), [("update_weights", "AsyncLLM.update_weights"), ("init_device", "among")]
)
async def test_other_methods_of_the_workers_are_refused(
    engine: Any, method: str, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        await engine.collective_rpc(method)
    assert engine.calls == []
    token = FROM_WITHIN.set(True)
    try:
        assert await engine.collective_rpc(method) == [method]
    finally:
        FROM_WITHIN.reset(token)


async def test_vllm_does_not_get_the_timeout(engine: Any) -> None:
    engine.rpc_hangs = True
    with pytest.raises(TimeoutError, match=r"'check_health' did not end within 0\.001 s"):
        await engine.collective_rpc("check_health", 0.001, (1,), {"a": 2})
    assert engine.calls == [("collective_rpc", "check_health", None, (1,), {"a": 2})]


async def test_a_timeout_of_vllms_keeps_its_words(engine: Any) -> None:
    engine.rpc_error = TimeoutError("RPC call timed out")
    with pytest.raises(TimeoutError, match="RPC call timed out"):
        await engine.collective_rpc("check_health")


def test_a_dead_engine_is_not_listened_to(engine: Any) -> None:
    engine.engine_core.resources.engine_dead = True
    with pytest.raises(RuntimeError, match="encountered an issue"):
        engine._run_output_handler()
    assert engine.output_handler is None
    engine.engine_core.resources.engine_dead = False
    engine._run_output_handler()
    assert engine.output_handler == "running"


async def test_what_this_engine_cannot_do_is_said(engine: Any) -> None:
    with pytest.raises(Unsupported, match="data parallelism"):
        await engine.scale_elastic_ep(2)
    with pytest.raises(Unsupported, match="fault tolerance"):
        await engine.handle_fault(object())
