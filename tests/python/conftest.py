"""Lanes, and the worker processes that the tests of a lane share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from python_worker.testing.models.scripted_model import ScriptedModel, scripted_model
from tests.python.support.client import Client, build_engine
from tests.python.support.values import Ref
from tests.python.support.worker import STARTED, Worker, wait_group_gone
from tests.python.support.workers import Workers, fake_engine, real_arguments

LANES = ("unit", "bridge", "vllm", "browser", "release", "interop", "gpu")

#: Modules that are there if vLLM is.
WITH_VLLM = frozenset({"torch", "transformers", "vllm", "mellea"})

#: A safeguard: no test takes as long.
LOOP_SECONDS = 60.0

# The same examples in every run, without a time limit for one, because the machine may be busy.
# To try other examples: pytest --hypothesis-profile=default
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


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Leaves the modules out that import what comes with vLLM, where vLLM is not installed.

    `make test-pythons` tests with Pythons that have no vLLM here. Anything else that cannot be
    imported is an error.
    """
    report = yield
    if report.call is not None and report.call.excinfo is not None:
        _skip_without_vllm(report, report.call.excinfo.value.__cause__)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leaves the tests out that find such a module missing when they run."""
    report = yield
    if call.excinfo is not None:
        _skip_without_vllm(report, call.excinfo.value)
    return report


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it comes from: the worker's own say what to install."""
    while error is not None:
        yield error
        error = error.__cause__


def _skip_without_vllm(
    report: pytest.CollectReport | pytest.TestReport, cause: BaseException | None
) -> None:
    for error in _causes(cause):
        if isinstance(error, ModuleNotFoundError) and error.name in WITH_VLLM:
            report.outcome = "skipped"
            report.longrepr = (report.nodeid, 0, f"{error.name} is not installed")


def worker_loop() -> asyncio.AbstractEventLoop:
    """The worker's event loop. pytest-timeout cannot interrupt it, so a timer cancels its tasks."""
    loop = uvloop.new_event_loop()
    loop.call_later(LOOP_SECONDS, lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
    return loop


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    item: pytest.Function,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Runs the tests of a module with ``ON_UVLOOP`` on uvloop, for tests of its transports."""
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
def workers(tmp_path_factory: pytest.TempPathFactory) -> Workers:
    """Starts worker processes."""
    return Workers(tmp_path_factory)


@pytest.fixture(scope="session")
def worker(workers: Workers) -> Iterator[Worker]:
    """A worker with the fake engine, shared by all tests that do not end it."""
    with workers.running("worker") as worker:
        yield worker


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
    """A fake engine for this test alone."""
    ref = await fake_engine(client, enable_lora=True)
    yield ref
    await client.call(ref, "shutdown")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> ScriptedModel:
    """The scripted model."""
    return scripted_model(tmp_path_factory.mktemp("models") / "scripted")


@pytest.fixture(scope="session")
def vllm_worker(workers: Workers) -> Iterator[Worker]:
    """A worker with real vLLM, shared by the whole lane."""
    with workers.running("vllm-worker", real=True) as worker:
        yield worker


@pytest.fixture(scope="session")
def vllm_engine(vllm_worker: Worker, model: ScriptedModel) -> Ref:
    """One real engine of the scripted model; it takes about 20 s to start."""
    return build_engine(
        vllm_worker.address, **real_arguments(model, enable_lora=True, max_lora_rank=8)
    )


@pytest.fixture
async def vllm_client(vllm_worker: Worker) -> AsyncIterator[Client]:
    """A client of the worker with real vLLM."""
    async with Client(vllm_worker.address) as client:
        yield client
