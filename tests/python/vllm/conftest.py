"""Engines and an LLM of the lane beside the shared engine of ``tests/python/conftest.py``.

Each takes 20 s to start and up to 1.6 GB. Tests of several files share it, and it is shut down
after the last of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, build_engine, sampling
from tests.python.support.gguf import Files, files_in
from tests.python.support.llms import GREEDY, HELLO
from tests.python.support.pooling import shut_down
from tests.python.support.shared_engine import SharedEngine
from tests.python.support.values import Record, Ref
from tests.python.support.worker import Worker
from tests.python.support.workers import ONE_PROCESS, Workers, real_arguments

EXTENSION = "python_worker.testing.worker_extension.WorkerExtension"
REFERENCE = "tests.python.support.reference_engine:ReferenceAsyncLLM"
STAT_LOGGER = "tests.python.support.stat_logger:CountingStatLogger"

# Otherwise its assertions would not say what is different.
pytest.register_assert_rewrite("tests.python.support.engine_outputs")

#: How many requests the equipped engine admits.
ADMITTED = 4

#: Shuts down the engine of a fixture, by the fixture's name.
_ends: dict[str, Callable[[], None]] = {}


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Shuts down the engines that no later test names."""
    if nextitem is None:  # Their workers have ended.
        return
    items = item.session.items
    later = items[items.index(item) + 1 :]
    for name in list(_ends):
        if not any(name in getattr(it, "fixturenames", ()) for it in later):
            _ends.pop(name)()


def _until_last_use(request: pytest.FixtureRequest, worker: Worker, engine: Ref) -> Ref:
    """Has the engine of a fixture shut down after the last test that names the fixture."""
    assert request.fixturename is not None
    _ends[request.fixturename] = lambda: asyncio.run(shut_down(worker, engine))
    return engine


@dataclass(frozen=True)
class Equipped:
    """An engine with everything that is off by default, made by ``new``.

    Attributes:
        engine: The engine.
        config: The configuration it was made from.
        traces: Where its profiler writes.
    """

    engine: Ref
    config: Ref
    traces: Path


@pytest.fixture(scope="session")
def embedding_engine(
    request: pytest.FixtureRequest, vllm_worker: Worker, model: ScriptedModel
) -> Ref:
    """One real engine that takes embeddings and adapters, with few blocks and short steps."""
    engine = build_engine(
        vllm_worker.address,
        **real_arguments(
            model,
            **ONE_PROCESS,
            max_model_len=256,
            num_gpu_blocks_override=24,
            max_num_batched_tokens=128,
            max_num_seqs=32,
            enable_prompt_embeds=True,
            enable_lora=True,
            max_loras=2,
            max_cpu_loras=2,
            max_lora_rank=8,
        ),
    )
    return _until_last_use(request, vllm_worker, engine)


@pytest.fixture(scope="session")
def gguf(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The scripted model for llama.cpp, and its adapters for llama.cpp and PEFT."""
    return files_in(tmp_path_factory.mktemp("gguf"), model)


@pytest.fixture(scope="session")
def equipped(
    request: pytest.FixtureRequest,
    vllm_worker: Worker,
    model: ScriptedModel,
    tmp_path_factory: pytest.TempPathFactory,
) -> Equipped:
    """One real engine with a weight transfer, a profiler, an extension and a limit."""
    traces = tmp_path_factory.mktemp("traces")
    arguments = real_arguments(
        model,
        max_num_queued_reqs=ADMITTED,
        weight_transfer_config={"backend": "ipc"},
        profiler_config={"profiler": "torch", "torch_profiler_dir": str(traces)},
        worker_extension_cls=EXTENSION,
    )

    async def build() -> Equipped:
        async with Client(vllm_worker.address) as client:
            config: Ref = await client.call(
                "AsyncEngineArgs",
                "create_engine_config",
                Record("AsyncEngineArgs", arguments),
                usage_context="ENGINE_CONTEXT",
            )
            engine: Ref = await client.call(
                "AsyncLLM",
                "new",
                config,
                "auto",
                True,
                stat_loggers=[STAT_LOGGER],
                log_requests=False,
                use_cached_outputs=True,
            )
            return Equipped(engine, config, traces)

    made = asyncio.run(build())
    _until_last_use(request, vllm_worker, made.engine)
    return made


@pytest.fixture
async def shared(
    vllm_client: Client,
    embedding_engine: Ref,
    model: ScriptedModel,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[SharedEngine]:
    """The engine. After the test every block has been used by exact requests."""
    folder = tmp_path_factory.getbasetemp() / "adapters"
    engine = SharedEngine(vllm_client, embedding_engine, model, folder)
    yield engine
    for lora_id in await engine.loaded():
        await engine.client.call(engine.ref, "remove_lora", lora_id)
    for _ in range(3):
        await engine.assert_exact()


# --- The LLM of `test_llm*.py`


@pytest.fixture(scope="session")
def llm_worker(workers: Workers) -> Iterator[Worker]:
    """A worker whose operator lets functions be sent to the model."""
    os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
    try:
        with workers.running("llm-worker", "--engine-class", REFERENCE, real=True) as worker:
            del os.environ["VLLM_ALLOW_INSECURE_SERIALIZATION"]
            yield worker
    finally:
        os.environ.pop("VLLM_ALLOW_INSECURE_SERIALIZATION", None)


@pytest.fixture
async def llm_client(llm_worker: Worker) -> AsyncIterator[Client]:
    """A client of that worker."""
    async with Client(llm_worker.address) as client:
        yield client


@pytest.fixture(scope="session")
def shared_llm(request: pytest.FixtureRequest, llm_worker: Worker, model: ScriptedModel) -> Ref:
    """An LLM of the scripted model, with everything that is off by default."""
    arguments: dict[str, Any] = real_arguments(
        model,
        **ONE_PROCESS,
        num_gpu_blocks_override=256,
        disable_log_stats=False,
        worker_extension_cls=EXTENSION,
        weight_transfer_config={"backend": "ipc"},
    )
    path = arguments.pop("model")

    async def build() -> Ref:
        async with Client(llm_worker.address) as client:
            ref: Ref = await client.call("LLM", "new", path, **arguments)
            return ref

    return _until_last_use(request, llm_worker, asyncio.run(build()))


@pytest.fixture
async def llm(llm_client: Client, shared_llm: Ref) -> AsyncIterator[Ref]:
    """The shared LLM. Whatever a test does, the next batch is whole."""
    yield shared_llm
    assert await llm_client.call(shared_llm, "get_num_unfinished_requests") == 0
    (output,) = await llm_client.call(shared_llm, "generate", "Hello", sampling(**GREEDY))
    assert output.outputs[0].text == HELLO
