"""Engines that are forks of a process with vLLM in it, on real vLLM."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from python_worker.process.fork_server import is_fork_server
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Record, Ref
from tests.python.support.worker import Worker, members_of
from tests.python.support.workers import ONE_PROCESS, Workers, real_arguments


@pytest.fixture(scope="module")
def forking(workers: Workers) -> Iterator[Worker]:
    """A worker whose fork server may be killed."""
    with workers.running("forking", real=True) as worker:
        yield worker


@pytest.fixture
async def client(forking: Worker) -> AsyncIterator[Client]:
    async with Client(forking.address) as client:
        yield client


async def build(client: Client, model: ScriptedModel, **arguments: object) -> Ref:
    given = real_arguments(model, num_gpu_blocks_override=64, **arguments)
    ref: Ref = await client.call("AsyncLLM", "from_engine_args", Record("AsyncEngineArgs", given))
    return ref


async def said(client: Client, engine: Ref) -> str:
    last = await client.generate(engine, "Hello", sampling(max_tokens=4, temperature=0.0))
    return str(last.outputs[0].text)


def parents(worker: Worker, name: str) -> list[int]:
    """The parents of the processes of a name."""
    found = [pid for pid, command in members_of(worker.pid).items() if name in command]
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in found]
    return [int(stat[1]) for stat in stats]


async def test_engine_core_and_its_worker_are_forks_until_the_fork_server_is_killed(
    client: Client, forking: Worker, model: ScriptedModel
) -> None:
    engine = await build(client, model)
    expected = model.expected_text("Hello", 4)
    assert await said(client, engine) == expected
    made_by = {*parents(forking, "VLLM::EngineCore"), *parents(forking, "VLLM::Worker")}
    [server] = made_by
    assert is_fork_server(server)

    os.kill(server, signal.SIGKILL)
    with pytest.raises(Failed) as failed:
        await client.generate(engine, "count", sampling(max_tokens=900, ignore_eos=True))
    assert failed.value.kind == "ENGINE_DEAD"
    await client.call(engine, "shutdown")

    engine = await build(client, model, **ONE_PROCESS)
    assert await said(client, engine) == expected
    [another] = parents(forking, "VLLM::EngineCore")
    assert is_fork_server(another)
    assert another != server
    await client.call(engine, "shutdown")
