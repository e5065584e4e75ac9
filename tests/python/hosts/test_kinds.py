"""Engines of other kinds over two hosts: without a core beside the worker, and tensor parallel."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from python_worker.testing.models.tiny_model import random_model
from tests.python.support.client import Client, Failed, build_engine, sampling
from tests.python.support.llms import plain
from tests.python.support.node import free_port, notice, running_node, until, vllm_processes
from tests.python.support.pooling import COMMON as POOLING
from tests.python.support.pooling import TEXTS
from tests.python.support.small_models import minilm
from tests.python.support.values import Record
from tests.python.support.vllm_pooling import Call, answers
from tests.python.support.worker import Worker
from tests.python.support.workers import ONE_PROCESS, Workers, real_arguments

GREEDY = sampling(max_tokens=16, temperature=0.0)
ENDLESS = sampling(max_tokens=480, temperature=0.0, ignore_eos=True)

COMMON = ("--dtype", "float32", "--enforce-eager", "--max-model-len", "512")


@pytest.fixture(scope="module")
def head(workers: Workers) -> Iterator[Worker]:
    with workers.running("head", real=True) as worker:
        yield worker


async def test_an_engine_without_a_core_beside_the_worker(
    head: Worker, model: ScriptedModel, tmp_path: Path
) -> None:
    port = free_port()
    node_options = tmp_path / "node.toml"
    node_options.write_text(
        f'model = "{model.path}"\n'
        'dtype = "float32"\nenforce_eager = true\nmax_model_len = 1024\n'
        f'distributed_executor_backend = "{ONE_PROCESS["distributed_executor_backend"]}"\n'
    )
    options = ("--config", str(node_options), "--head", f"127.0.0.1:{port}")
    with running_node(tmp_path, *options, lifeline="stdin") as node:
        arguments = real_arguments(
            model,
            **ONE_PROCESS,
            data_parallel_size=1,
            data_parallel_size_local=0,
            data_parallel_address="127.0.0.1",
            data_parallel_rpc_port=port,
        )
        engine = await asyncio.to_thread(build_engine, head.address, **arguments)
        assert vllm_processes(head) == []
        async with Client(head.address) as client, client.session() as session:
            output = await client.generate(engine, "Hello", GREEDY)
            assert output.outputs[0].text != ""
            assert await client.call(engine, "collective_rpc", "check_health") == [None]
            stream = await session.start(engine, "generate", "count", ENDLESS, "r")
            await stream.accepted()
            os.kill(node.process_of("EngineCore"), signal.SIGKILL)
            with pytest.raises(Failed, match=r"ENGINE_DEAD.*EngineCore of rank 0 was lost"):
                await stream.items()
            await notice(session, "engine_died")
            await client.call(engine, "shutdown")
        node.wait_for("waiting for the head", 2)
        # Its lifeline is what ends it.
        assert node.process.stdin is not None
        node.process.stdin.close()
        assert node.process.wait(60) == 0


async def test_embeddings_of_cores_on_another_host_are_those_of_vllm_s_own(
    head: Worker, tmp_path: Path
) -> None:
    port = free_port()
    path = minilm()
    options = (
        *(str(path), "--head", f"127.0.0.1:{port}", "--data-parallel-size", "2"),
        *("--local-size", "2", "--runner", "pooling", "--dtype", "float32", "--enforce-eager"),
        *("--num-gpu-blocks-override", str(POOLING["num_gpu_blocks_override"])),
        *("--distributed-executor-backend", str(ONE_PROCESS["distributed_executor_backend"])),
    )
    texts = TEXTS[:4]
    calls: list[Call] = [("embed", [texts], {})]
    (theirs,) = await asyncio.to_thread(answers, path, calls, runner="pooling", **POOLING)
    with running_node(tmp_path, *options) as node:
        arguments: dict[str, object] = {
            **ONE_PROCESS,
            **POOLING,
            "model": str(path),
            "runner": "pooling",
            "data_parallel_size": 2,
            "data_parallel_size_local": 0,
            "data_parallel_address": "127.0.0.1",
            "data_parallel_rpc_port": port,
        }
        engine = await asyncio.to_thread(build_engine, head.address, **arguments)
        async with Client(head.address) as client, client.session() as session:
            embed = Record("PoolingParams", {"task": "embed"})

            async def encode(number: int) -> list[float]:
                text = texts[number % len(texts)]
                (output,) = await client.items(engine, "encode", text, embed, f"r{number}")
                embedding: list[float] = plain(output.outputs.data)
                return embedding

            found = await asyncio.gather(*map(encode, range(32)))
            for number, embedding in enumerate(found):
                expected = theirs[number % len(texts)]["outputs"]["embedding"]
                assert embedding == pytest.approx(expected, abs=1e-5)
            for core in node.processes_of("EngineCore"):
                os.kill(core, signal.SIGKILL)
            await notice(session, "engine_died")
            with pytest.raises(Failed, match=r"ENGINE_DEAD.*EngineCore of rank"):
                await encode(0)
            await client.call(engine, "shutdown")
        node.wait_for("waiting for the head", 2)


async def test_tensor_parallelism_over_two_hosts(
    head: Worker, model: ScriptedModel, tmp_path: Path
) -> None:
    # The heads of attention of the scripted model cannot be divided by two.
    path = random_model(tmp_path / "random")
    port = free_port()
    options = (
        *(str(path), "--head", f"127.0.0.1:{port}", *COMMON),
        *("--tensor-parallel-size", "2", "--nnodes", "2", "--node-rank", "1"),
    )
    arguments = real_arguments(
        replace(model, path=path),
        tensor_parallel_size=2,
        max_model_len=512,
        nnodes=2,
        node_rank=0,
        master_addr="127.0.0.1",
        master_port=port,
    )
    with running_node(tmp_path, *options) as node:
        for round_, end in enumerate(("told to end", "killed under load", "killed idle"), start=1):
            engine = await asyncio.to_thread(build_engine, head.address, **arguments)
            async with Client(head.address) as client, client.session() as session:
                output = await client.generate(engine, "Hello", GREEDY)
                assert output.outputs[0].text != ""
                assert await client.call(engine, "collective_rpc", "check_health") == [None, None]
                if end == "killed under load":
                    stream = await session.start(engine, "generate", "count", ENDLESS, "r")
                    await stream.accepted()
                    os.kill(node.process_of("Worker"), signal.SIGKILL)
                    with pytest.raises(Failed, match="ENGINE_DEAD"):
                        await stream.items()
                    await notice(session, "engine_died")
                if end == "killed idle":
                    # No request is there to find out.
                    os.kill(node.process_of("Worker"), signal.SIGKILL)
                    await notice(session, "engine_died")
                    with pytest.raises(Failed, match="ENGINE_DEAD"):
                        await client.call(engine, "check_health")
                await client.call(engine, "shutdown")
            await until(lambda: vllm_processes(head) == [])
            node.wait_for("waiting for the head", round_ + 1)
