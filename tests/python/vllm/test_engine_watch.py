"""What the worker reports: metrics, spans and logs, of engines that stall, and of one that ends.

The engine belongs to this module, in a worker with a short time limit for stalls. The last test
ends the engine, so the order of the tests counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, Session, build_engine, sampling
from tests.python.support.collector import Collector, collecting
from tests.python.support.values import Ref
from tests.python.support.worker import TOKEN, Worker, members_of
from tests.python.support.workers import ONE_PROCESS, Workers, real_arguments

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

#: Long beside a step, even on a machine that is busy with something else.
STALL_AFTER = 5.0

#: How vLLM names its sockets.
UUID = re.compile(r"\w{8}-\w{4}-\w{4}-\w{4}-\w{12}")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where the worker and an engine send their spans."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def impatient(
    workers: Workers, tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[Worker]:
    """A worker with real vLLM that reports an engine as stalled after a short time.

    It reports in every other way as well: metrics, spans, and a log in JSON.

    The sockets of its engine would not fit into its TMPDIR, so they are elsewhere, and no socket is
    left at its end.
    """
    folder = tmp_path_factory.mktemp("temporary") / ("x" * 100)
    folder.mkdir()
    arguments = (
        *("--stall-after", str(STALL_AFTER), "--metrics-listen", "tcp:127.0.0.1:0"),
        *("--otlp-endpoint", collector.url, "--log-format", "json"),
    )
    environment = {"TMPDIR": str(folder)}
    with workers.running("impatient", *arguments, real=True, environment=environment) as worker:
        (sockets,) = re.findall(r"files are in (/\S+): TMPDIR", worker.tail())
        assert os.path.isdir(sockets)
        yield worker
        assert len([it for it in os.listdir(sockets) if UUID.fullmatch(it)]) > 1
    assert not os.path.exists(sockets)
    assert [it for it in folder.rglob("*") if it.is_socket()] == []


@pytest.fixture(scope="module")
def engine(impatient: Worker, model: ScriptedModel) -> Ref:
    """Its engine."""
    return build_engine(
        impatient.address,
        **real_arguments(model, max_model_len=2048, num_gpu_blocks_override=256),
    )


@pytest.fixture
async def client(impatient: Worker) -> AsyncIterator[Client]:
    """A client of the impatient worker."""
    async with Client(impatient.address) as client:
        yield client


def process(worker: Worker, name: str) -> int:
    """The id of a process of the engine."""
    (pid,) = [pid for pid, command in members_of(worker.pid).items() if name in command]
    return pid


def endless() -> Any:
    """Parameters of a request that runs for long."""
    return sampling(max_tokens=2000, temperature=0.0, ignore_eos=True)


async def health(client: Client, service: str) -> int:
    """What grpc.health says."""
    stub = health_pb2_grpc.HealthStub(client.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def stalled_s(client: Client) -> float | None:
    """For how long the one engine stands still, as the worker's status has it."""
    (engine,) = (await client.call("Worker", "status"))["engines"]
    value: float | None = engine["stalled_s"]
    return value


async def notice(session: Session, event: str, count: int = 1) -> Any:
    """Waits for a notice and returns what it says."""

    def came() -> list[Any]:
        return [getattr(it, event) for it in session.notices if it.WhichOneof("event") == event]

    await session.wait_for(lambda: len(came()) >= count)
    return came()[-1]


async def test_the_first_request_of_an_engine_is_seen_to_wait(
    client: Client, engine: Ref, impatient: Worker
) -> None:
    core = process(impatient, "EngineCore")
    async with client.session() as session:
        # EngineCore answers in order: what it is asked ahead of requests is behind this.
        assert await session.call(engine, "is_sleeping") is False
        os.kill(core, signal.SIGSTOP)
        try:
            running = await session.start(engine, "generate", "Hello", sampling(max_tokens=4), "r")
            stalled = await notice(session, "engine_stalled")
            assert stalled.unfinished_requests == 1
        finally:
            os.kill(core, signal.SIGCONT)
        await notice(session, "engine_recovered")
        assert (await running.items())[-1].outputs[0].finish_reason == "length"


async def series(worker: Worker) -> dict[tuple[str, str | None], float]:
    """The samples of /metrics, by name and reference; those of other labels are added up."""
    found: defaultdict[tuple[str, str | None], float] = defaultdict(float)
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
        http.get(*worker.metrics, raise_for_status=True) as answer,
    ):
        text = await answer.text()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, sample.labels.get("ref")] += sample.value
    return found


async def test_two_engines_are_side_by_side_in_metrics_and_the_requests_in_their_callers_trace(
    client: Client, engine: Ref, impatient: Worker, model: ScriptedModel, collector: Collector
) -> None:
    before = (await series(impatient))["vllm:generation_tokens_total", engine.id]
    second = await asyncio.to_thread(
        build_engine,
        impatient.address,
        **real_arguments(model, otlp_traces_endpoint=collector.url, **ONE_PROCESS),
    )
    try:
        trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        headers = {"traceparent": f"00-{trace}-{parent}-01"}
        for ref, tokens in ((engine, 3), (second, 5)):
            params = sampling(max_tokens=tokens, ignore_eos=True)
            await client.generate(ref, "Hello", params, trace_headers=headers)
        found = await series(impatient)
        name = "vllm:generation_tokens_total"
        assert (found[name, engine.id] - before, found[name, second.id]) == (3, 5)
        for ref in (engine, second):
            assert found["vllm:request_success_total", ref.id] >= 1
            assert found["vllm:cache_config_info", ref.id] == 1
            assert found["vllm:time_to_first_token_seconds_count", ref.id] >= 1
            assert found["vllm_bridge_engine_up", ref.id] == 1
        # The request is below the call, and that below the caller.
        request = await asyncio.to_thread(collector.span, lambda it: it.name == "llm_request")
        call = await asyncio.to_thread(
            collector.span, lambda it: it.span_id == request.parent_span_id
        )
        assert (call.name, call.parent_span_id.hex()) == (f"text_completion {model.path}", parent)
        assert {it.trace_id.hex() for it in (call, request)} == {trace}
    finally:
        await client.call(second, "shutdown")
    gone = await series(impatient)
    assert [name for name, ref in gone if ref == second.id] == []
    assert gone[name, engine.id] - before == 3


def test_the_log_is_json_in_every_process(impatient: Worker, engine: Ref) -> None:
    lines = impatient.log.read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    loggers: dict[int, set[str]] = {}
    for entry in entries:
        loggers.setdefault(entry["pid"], set()).add(entry["logger"].partition(".")[0])
    assert loggers[impatient.pid] >= {"python_worker", "vllm"}
    assert "vllm" in loggers[process(impatient, "EngineCore")]
    # By which the client tells the processes of one engine from those of another.
    assert any(it.get("process", "").startswith("EngineCore") for it in entries)


async def test_an_engine_that_is_paused_does_not_hang(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        await session.call(engine, "pause_generation", mode="keep")
        running = await session.start(engine, "generate", "Hello", sampling(max_tokens=4), "kept")
        await running.accepted()
        # What counts is that the question is asked, at half the time, and answered.
        await asyncio.sleep(STALL_AFTER * 1.5)
        assert await stalled_s(client) is None
        await session.call(engine, "resume_generation")
        assert (await running.items())[-1].outputs[0].finish_reason == "length"
        assert session.notices == []


async def test_aborts_by_a_pause_are_aborts(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        for _ in range(5):
            running = [
                await session.start(engine, "generate", "count", endless(), str(n))
                for n in range(8)
            ]
            for one in running:
                await one.accepted()
            await session.call(engine, "pause_generation", mode="abort")
            for one in running:
                assert (await one.items())[-1].outputs[0].finish_reason == "abort"
            await session.call(engine, "resume_generation")


async def test_a_stopped_engine_core_hangs_and_comes_back(
    client: Client, engine: Ref, impatient: Worker
) -> None:
    core = process(impatient, "EngineCore")
    async with client.session() as session:
        running = await session.start(engine, "generate", "count", endless(), "r")
        await running.accepted()
        os.kill(core, signal.SIGSTOP)
        try:
            stalled = await notice(session, "engine_stalled")
            assert stalled.ref == engine.id
            assert stalled.stalled_ms >= STALL_AFTER * 1000
            assert stalled.unfinished_requests == 1
            assert await client.call(engine, "check_health") is None
            assert await health(client, engine.id) == NOT_SERVING
            assert await health(client, "") == NOT_SERVING
            assert await health(client, "vllm_bridge.v1.Bridge") == SERVING
            silent = await stalled_s(client)
            assert silent is not None
            assert silent >= STALL_AFTER
        finally:
            os.kill(core, signal.SIGCONT)
        recovered = await notice(session, "engine_recovered")
        assert recovered.ref == engine.id
        assert recovered.stalled_ms >= stalled.stalled_ms
        assert await stalled_s(client) is None
        assert await health(client, engine.id) == SERVING
        assert await health(client, "") == SERVING
        assert (await running.items())[-1].outputs[0].finish_reason == "length"


async def test_one_without_requests_is_back_when_it_answers(
    client: Client, engine: Ref, impatient: Worker
) -> None:
    core = process(impatient, "EngineCore")
    async with client.session() as session:
        running = await session.start(engine, "generate", "count", endless(), "r")
        await running.accepted()
        os.kill(core, signal.SIGSTOP)
        try:
            await notice(session, "engine_stalled")
            await running.cancel()
            # Its last reply: the request has left the engine, as far as we can know.
            with pytest.raises(Failed, match="CANCELLED"):
                await running.items()
            assert await client.call(engine, "get_num_unfinished_requests") == 0
            assert await stalled_s(client) is not None
        finally:
            os.kill(core, signal.SIGCONT)
        await notice(session, "engine_recovered")
    assert await health(client, "") == SERVING


async def test_an_engine_core_that_is_told_to_stop_is_dead_for_its_requests(
    client: Client, engine: Ref, impatient: Worker
) -> None:
    """VLLM ends its streams with "abort", as if their clients had wanted it."""
    core = process(impatient, "EngineCore")
    async with client.session() as session:
        streams = [
            await session.start(engine, "generate", "count", endless(), str(n)) for n in range(8)
        ]
        for stream in streams:
            await stream.accepted()
        os.kill(core, signal.SIGTERM)
        late = await session.start(engine, "is_sleeping")
        for stream in streams:
            with pytest.raises(Failed, match=r"ENGINE_DEAD.*EngineCore .* ended with status 0"):
                await stream.items()
        with pytest.raises(Failed, match="ENGINE_DEAD"):
            await late.value()
        died = await notice(session, "engine_died")
        assert died.ref == engine.id
        assert f"EngineCore (process {core}) ended with status 0" in died.failure.message
        for method in ("check_health", "is_sleeping", "reset_prefix_cache"):
            with pytest.raises(Failed, match=r"ENGINE_DEAD.*ended with status 0"):
                await session.call(engine, method)
    assert await health(client, engine.id) == NOT_SERVING
    assert await health(client, "") == NOT_SERVING
    await client.call(engine, "shutdown")
    assert await health(client, "") == SERVING
