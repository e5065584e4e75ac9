"""Configurations, ``new`` and the limit of requests, with the fake engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Record, Ref


async def configuration(client: Client, **fields: object) -> Ref:
    arguments = Record("AsyncEngineArgs", {"model": "fake", **fields})
    config: Ref = await client.call("AsyncEngineArgs", "create_engine_config", arguments)
    assert config.type == "VllmConfig"
    return config


@pytest.mark.parametrize(
    ("executor", "chosen"),
    [
        ("auto", "MultiprocExecutor"),
        ("uni", "UniProcExecutor"),
        ("python_worker.testing.fake_vllm.configs:UniProcExecutor", "UniProcExecutor"),
    ],
)
async def test_new(executor: str, chosen: str, client: Client) -> None:
    config = await configuration(client)
    engine = await client.call("AsyncLLM", "new", config, executor, True, use_cached_outputs=False)
    assert engine.type == "AsyncLLM"
    last = await client.generate(engine, "hi", sampling(max_tokens=2))
    assert last.outputs[0].text == " 256 257"
    await client.call(engine, "shutdown")


async def test_an_engine_has_a_configuration_of_its_own(client: Client) -> None:
    config = await configuration(client)
    engines = [await client.call("AsyncLLM", "from_vllm_config", config) for _ in range(2)]
    configs = {(await client.call(engine, "vllm_config")).id for engine in engines}
    assert len(configs | {config.id}) == 3
    for engine in engines:
        await client.call(engine, "shutdown")


async def test_what_new_refuses(client: Client) -> None:
    config = await configuration(client)
    for arguments, word in [
        ([config, "json:JSONDecoder", True], "no subclass"),
        ([config, "nowhere", True], "module:Name"),
        ([config, "auto"], "log_stats"),
        (["config", "auto", True], "vllm_config"),
    ]:
        with pytest.raises(Failed, match="INVALID") as caught:
            await client.call("AsyncLLM", "new", *arguments)
        assert word in caught.value.failure.message


async def test_a_full_queue_is_overloaded(client: Client) -> None:
    config = await configuration(client, max_num_queued_reqs=2)
    engine = await client.call("AsyncLLM", "from_vllm_config", config)
    await client.call(engine, "pause_generation", mode="keep")
    await client.call(engine, "add_request", "r", "hi", sampling())
    assert await client.call(engine, "check_admission") is None
    refused: list[tuple[str, list[Any]]] = [
        ("check_admission", [2]),
        ("add_request", ["r", "hi", sampling(n=2, temperature=1.0)]),
    ]
    for method, arguments in refused:
        with pytest.raises(Failed) as caught:
            await client.call(engine, method, *arguments)
        assert (caught.value.kind, caught.value.failure.retryable) == ("OVERLOADED", True)
    await client.call(engine, "shutdown")
