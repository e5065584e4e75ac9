"""An engine whose second core runs on another host, as a node: here on another loopback address.

The tests are one story, in their order: the last ones end the engine.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from python_worker.testing.models.adapters import adapter
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, build_engine, sampling
from tests.python.support.node import (
    Node,
    TwoHosts,
    free_port,
    notice,
    two_hosts,
    until,
    vllm_processes,
)
from tests.python.support.values import Record, Ref
from tests.python.support.worker import Worker, members_of
from tests.python.support.workers import ONE_PROCESS, Workers

GREEDY = sampling(max_tokens=16, temperature=0.0)
RANKS = (0, 1)


@pytest.fixture(scope="module")
def hosts(
    workers: Workers, model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoHosts]:
    with two_hosts(
        workers,
        tmp_path_factory.mktemp("node"),
        model,
        node_options=(
            *("--enable-lora", "--max-lora-rank", "8"),
            *("--distributed-executor-backend", str(ONE_PROCESS["distributed_executor_backend"])),
        ),
        enable_lora=True,
        max_lora_rank=8,
    ) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def node(hosts: TwoHosts) -> Node:
    return hosts.node


@pytest.fixture(scope="module")
def head(hosts: TwoHosts) -> Worker:
    return hosts.head


@pytest.fixture(scope="module")
def engine(hosts: TwoHosts) -> Ref:
    return build_engine(hosts.head.address, **hosts.arguments)


@pytest.fixture
async def client(head: Worker) -> AsyncIterator[Client]:
    async with Client(head.address) as client:
        yield client


async def text(client: Client, engine: Ref, rank: int | None, **more: Any) -> str:
    chosen = {} if rank is None else {"data_parallel_rank": rank}
    output = await client.generate(engine, "Hello", GREEDY, **chosen, **more)
    return str(output.outputs[0].text)


async def test_both_ranks_answer_exactly_and_share_the_load(
    client: Client, engine: Ref, model: ScriptedModel
) -> None:
    texts = await asyncio.gather(*(text(client, engine, rank) for rank in (*RANKS, *[None] * 16)))
    assert set(texts) == {await text(client, engine, 0)}
    assert texts[0] != ""


async def test_every_kind_of_call_reaches_both_cores(
    client: Client, engine: Ref, model: ScriptedModel, tmp_path: Path
) -> None:
    async with client.session() as session:
        assert await session.call(engine, "is_sleeping") is False
        assert await session.call(engine, "collective_rpc", "check_health") == [None]
        assert await session.call(engine, "reset_prefix_cache") is True
        await session.call(engine, "pause_generation", mode="keep")
        assert await session.call(engine, "is_paused") is True
        await session.call(engine, "resume_generation")
        endless = sampling(max_tokens=900, temperature=0.0, ignore_eos=True)
        for rank in RANKS:
            running = await session.start(
                engine, "generate", "count", endless, f"r{rank}", data_parallel_rank=rank
            )
            await running.accepted()
            await session.call(engine, "abort", f"r{rank}")
            assert (await running.items())[-1].outputs[0].finish_reason == "abort"


async def test_an_adapter_is_loaded_by_both_cores(
    client: Client, engine: Ref, model: ScriptedModel, tmp_path: Path
) -> None:
    fields = {"lora_name": "meow", "lora_int_id": 1, "lora_path": str(adapter(tmp_path, "meow"))}
    meow = Record("LoRARequest", fields)
    assert await client.call(engine, "add_lora", meow) is True
    assert await client.call(engine, "list_loras") == {1}
    plain = await text(client, engine, 0)
    texts = [await text(client, engine, rank, lora_request=meow) for rank in RANKS]
    assert texts[0] == texts[1] != plain
    assert await client.call(engine, "remove_lora", 1) is True


async def test_a_build_that_nobody_waits_for_leaves_nothing(
    client: Client, engine: Ref, head: Worker, hosts: TwoHosts
) -> None:
    """Its second core never comes."""
    before = members_of(head.pid).keys()
    async with client.session() as session:
        elsewhere = {**hosts.arguments, "data_parallel_rpc_port": free_port()}
        given = Record("AsyncEngineArgs", elsewhere)
        building = await session.start("AsyncLLM", "from_engine_args", given)
        await until(lambda: bool(members_of(head.pid).keys() - before))
        await building.cancel()
        with pytest.raises(Failed, match="CANCELLED"):
            await building.value()
        await until(lambda: not members_of(head.pid).keys() - before)
    assert await text(client, engine, 1) == await text(client, engine, 0)


async def test_a_core_that_is_killed_on_the_other_host_ends_the_engine(
    client: Client, engine: Ref, head: Worker, node: Node
) -> None:
    endless = sampling(max_tokens=900, temperature=0.0, ignore_eos=True)
    async with client.session() as session:
        streams = [
            await session.start(
                engine, "generate", "count", endless, f"k{n}", data_parallel_rank=n % 2
            )
            for n in range(8)
        ]
        for stream in streams:
            await stream.accepted()
        os.kill(node.process_of("EngineCore"), signal.SIGKILL)
        for stream in streams:
            with pytest.raises(Failed, match=r"ENGINE_DEAD.*EngineCore of rank 1 was lost"):
                await stream.items()
        died = await notice(session, "engine_died")
        assert died.ref == engine.id
        for method in ("check_health", "is_sleeping"):
            with pytest.raises(Failed, match=r"ENGINE_DEAD.*EngineCore of rank 1 was lost"):
                await session.call(engine, method)
        # The core beside the worker has ended too, before anybody has shut the engine down.
        await until(lambda: vllm_processes(head) == [])
        await session.call(engine, "shutdown")
    node.wait_for("starting again")
    node.wait_for("waiting for the head", 2)
