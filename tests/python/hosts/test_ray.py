"""Engines whose processes are actors of Ray's: answers, the end of an actor, and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, build_engine, sampling
from tests.python.support.node import notice, until
from tests.python.support.ray_cluster import Cluster, running_cluster
from tests.python.support.worker import Worker
from tests.python.support.workers import Workers, real_arguments

GREEDY = sampling(max_tokens=16, temperature=0.0)
ENDLESS = sampling(max_tokens=900, temperature=0.0, ignore_eos=True)

KINDS: dict[str, dict[str, object]] = {
    "executor": {"distributed_executor_backend": "ray"},
    "data parallel": {
        "data_parallel_backend": "ray",
        "data_parallel_size": 2,
        "data_parallel_size_local": 2,
    },
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def head(workers: Workers, cluster: Cluster) -> Iterator[Worker]:
    with workers.running("ray", real=True, environment=cluster.environment) as worker:
        yield worker


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
async def test_an_actor_that_is_killed_ends_the_engine(
    cluster: Cluster, head: Worker, model: ScriptedModel, kind: str, busy: bool
) -> None:
    arguments = real_arguments(model, num_gpu_blocks_override=128, **KINDS[kind])
    if kind == "data parallel":
        arguments["data_parallel_address"] = cluster.node
    engine = await asyncio.to_thread(build_engine, head.address, **arguments)
    async with Client(head.address) as client, client.session() as session:
        texts = {
            (await client.generate(engine, "Hello", GREEDY, f"r{n}")).outputs[0].text
            for n in range(4)
        }
        assert len(texts) == 1
        assert texts != {""}
        actors = cluster.actors()
        assert actors
        if busy:
            stream = await session.start(engine, "generate", "count", ENDLESS, "r")
            await stream.accepted()
        os.kill(max(actors), signal.SIGKILL)
        if busy:
            with pytest.raises(Failed, match="ENGINE_DEAD"):
                await stream.items()
        await notice(session, "engine_died")
        with pytest.raises(Failed, match="ENGINE_DEAD"):
            await client.call(engine, "check_health")
        await client.call(engine, "shutdown")
    await until(lambda: not cluster.actors())


async def test_nothing_is_left_of_an_engine_whose_worker_is_killed(
    workers: Workers, cluster: Cluster, model: ScriptedModel
) -> None:
    arguments = real_arguments(model, num_gpu_blocks_override=128, **KINDS["executor"])
    environment = cluster.environment
    with workers.running("killed", real=True, environment=environment, may_end=True) as worker:
        engine = await asyncio.to_thread(build_engine, worker.address, **arguments)
        async with Client(worker.address) as client:
            assert (await client.generate(engine, "Hello", GREEDY)).outputs[0].text != ""
        assert cluster.actors()
        worker.process.kill()
        await until(lambda: not cluster.actors())
