"""Deaths of an engine on two hosts that vLLM does not notice, and what comes after each.

The tests are one story, in their order: the same node serves one head after the other.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, build_engine, sampling
from tests.python.support.node import Node, TwoHosts, notice, two_hosts, until, vllm_processes
from tests.python.support.values import Ref
from tests.python.support.worker import Worker
from tests.python.support.workers import Workers

#: Long beside a step, even on a machine that is busy with something else.
STALL_AFTER = 5.0

GREEDY = sampling(max_tokens=16, temperature=0.0)
ENDLESS = sampling(max_tokens=900, temperature=0.0, ignore_eos=True)


@pytest.fixture(scope="module")
def hosts(
    workers: Workers, model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoHosts]:
    """The model of the node's core runs in a process of its own, beside its EngineCore."""
    with two_hosts(
        workers,
        tmp_path_factory.mktemp("node"),
        model,
        node_options=("--num-gpu-blocks-override", "128"),
        head_options=("--stall-after", str(STALL_AFTER)),
        may_end=True,
        num_gpu_blocks_override=128,
    ) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def node(hosts: TwoHosts) -> Node:
    return hosts.node


@pytest.fixture(scope="module")
def head(hosts: TwoHosts) -> Worker:
    return hosts.head


@pytest.fixture
async def client(head: Worker) -> AsyncIterator[Client]:
    async with Client(head.address) as client:
        yield client


@pytest.fixture
def engine(hosts: TwoHosts) -> Ref:
    """An engine of the test's own: the node has its second core."""
    return build_engine(hosts.head.address, **hosts.arguments)


async def assert_exact(client: Client, engine: Ref) -> None:
    """Both ranks answer, and the same."""
    first, second = [
        await client.generate(engine, "Hello", GREEDY, data_parallel_rank=rank) for rank in (0, 1)
    ]
    assert first.outputs[0].text == second.outputs[0].text != ""


async def test_one_silent_core_beside_a_busy_one_hangs_and_one_that_is_stopped_is_dead(
    client: Client, engine: Ref, node: Node, head: Worker
) -> None:
    await assert_exact(client, engine)
    async with client.session() as session:
        # The core waits for its worker process: it is there, and does nothing.
        worker = node.process_of("Worker")
        os.kill(worker, signal.SIGSTOP)
        hangs = await session.start(
            engine, "generate", "count", ENDLESS, "hangs", data_parallel_rank=1
        )
        stalled = asyncio.ensure_future(notice(session, "engine_stalled"))
        while not stalled.done():
            await client.generate(engine, "count", ENDLESS, data_parallel_rank=0)
        assert stalled.result().stalled_ms >= STALL_AFTER * 1000
        assert await client.call(engine, "errored") is False
        os.kill(worker, signal.SIGCONT)
        await notice(session, "engine_recovered")
        assert (await hangs.items())[-1].outputs[0].finish_reason == "length"

        # Its threads answer no more, as those of a host that has vanished.
        core = node.process_of("EngineCore")
        waits = await session.start(
            engine, "generate", "count", ENDLESS, "waits", data_parallel_rank=1
        )
        await waits.accepted()
        os.kill(core, signal.SIGSTOP)
        with pytest.raises(Failed, match=r"ENGINE_DEAD.*EngineCore of rank 1 was lost"):
            await waits.items()
        await notice(session, "engine_died")
        await until(lambda: vllm_processes(head) == [])
        await session.call(engine, "shutdown")
        os.kill(core, signal.SIGCONT)
    node.wait_for("waiting for the head", 2)


async def test_the_same_node_serves_the_next_engine_until_its_head_is_killed(
    client: Client, engine: Ref, node: Node, head: Worker
) -> None:
    await assert_exact(client, engine)
    head.process.kill()
    node.wait_for("has gone, and with it what ran", 2)
    assert node.processes() == []
    node.wait_for("waiting for the head", 3)


def test_a_node_that_is_told_to_stop_ends_with_its_cores(node: Node) -> None:
    assert node.stop() == 0
