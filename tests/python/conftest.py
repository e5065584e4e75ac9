"""Lanes, and the worker processes that the tests of a lane share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from python_worker.testing.models.scripted_model import ScriptedModel, scripted_model
from tests.python.support.client import Client, build_engine
from tests.python.support.values import Record, Ref
from tests.python.support.worker import STARTED, Worker, wait_group_gone

LANES = ("unit", "bridge", "vllm", "gpu")

#: Engines with room for tests, on a machine that may have little.
ENGINE_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    # Compiling takes seconds and stalls the engine the first time logprobs are asked for.
    "TORCHDYNAMO_DISABLE": "1",
    # Else the workers of all engines share one core.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}

#: Guards only: no test of one loop takes longer.
LOOP_SECONDS = 60.0

# The same examples in every run, however long one takes on a busy machine. To look for others:
# pytest --hypothesis-profile=default
settings.register_profile(
    "lanes",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("lanes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test with its lane, the folder it is in."""
    for item in items:
        for lane in LANES:
            if lane in item.path.relative_to(Path(__file__).parent).parts:
                item.add_marker(lane)


def worker_loop() -> asyncio.AbstractEventLoop:
    """The worker's event loop, which pytest-timeout cannot interrupt: here it ends its tasks."""
    loop = uvloop.new_event_loop()
    loop.call_later(LOOP_SECONDS, lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    return loop


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    item: pytest.Function,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs the tests of a module with ``ON_UVLOOP`` on the worker's loop: transports are its."""
    on_uvloop = getattr(item.module, "ON_UVLOOP", False)
    return {"loop": worker_loop if on_uvloop else asyncio.new_event_loop}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the session if a process of any worker it started is alive."""
    left = {pid: command for group in STARTED for pid, command in wait_group_gone(group).items()}
    if left:
        lines = "\n".join(f"  {pid}  {command}" for pid, command in left.items())
        raise pytest.UsageError(f"workers of this session left processes behind:\n{lines}")


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with the fake engine, shared by all tests that do not end it."""
    worker = Worker.start(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.stop()


@pytest.fixture
def native() -> bool:
    """Whether the client's sessions are native: a test that wants both says ``BOTH_WAYS``."""
    return False


@pytest.fixture
async def client(worker: Worker, native: bool) -> AsyncIterator[Client]:
    """A client of the shared worker."""
    async with Client.of(worker, native=native) as client:
        yield client


@pytest.fixture
async def engine(client: Client) -> AsyncIterator[Ref]:
    """A fake engine of this test's own."""
    arguments = Record("AsyncEngineArgs", {"model": "fake", "enable_lora": True})
    ref: Ref = await client.call("AsyncLLM", "from_engine_args", arguments)
    yield ref
    await client.call(ref, "shutdown")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> ScriptedModel:
    """The scripted model."""
    return scripted_model(tmp_path_factory.mktemp("models") / "scripted")


@pytest.fixture(scope="session")
def vllm_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with real vLLM, shared by the whole lane."""
    folder = tmp_path_factory.mktemp("vllm-worker")
    worker = Worker.start(folder, engine_class=None, environment=ENGINE_ENVIRONMENT)
    yield worker
    worker.stop()


@pytest.fixture(scope="session")
def vllm_engine(vllm_worker: Worker, model: ScriptedModel) -> Ref:
    """One real engine of the scripted model; it takes about 20 s to start."""
    return build_engine(
        vllm_worker.address,
        model=str(model.path),
        dtype="float32",
        enforce_eager=True,
        max_model_len=1024,
        enable_lora=True,
        max_lora_rank=8,
    )


@pytest.fixture
async def vllm_client(vllm_worker: Worker) -> AsyncIterator[Client]:
    """A client of the worker with real vLLM."""
    async with Client(vllm_worker.address) as client:
        yield client
