"""A worker as a service: its metrics, spans, log, configuration, and what starts and stops it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from python_worker.process import folder_choice
from python_worker.process.run_folder import SHARED_MEMORY
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.collector import collecting
from tests.python.support.namespaces import NAMESPACE, needs_namespaces
from tests.python.support.worker import FAKE_ENGINE, READY, ROOT, TOKEN, Worker
from tests.python.support.workers import Workers, fake_engine

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"

AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def scraped(workers: Workers) -> Iterator[Worker]:
    """A worker with metrics."""
    with workers.running("metrics", "--metrics-listen", "tcp:127.0.0.1:0") as worker:
        yield worker


async def scrape(url: str) -> dict[tuple[str, str | None], float]:
    async with (
        aiohttp.ClientSession(headers=AUTHORIZATION) as client,
        client.get(url, raise_for_status=True) as answer,
    ):
        return {
            (sample.name, sample.labels.get("ref")): sample.value
            for family in text_string_to_metric_families(await answer.text())
            for sample in family.samples
        }


async def test_metrics_of_a_worker_with_two_engines(scraped: Worker) -> None:
    (url,) = scraped.metrics
    async with Client(scraped.address) as client:
        assert (await scrape(url))["vllm_bridge_engines", None] == 0
        first, second = [await fake_engine(client) for _ in range(2)]
        await client.call(first, "die")
        found = await scrape(url)
        assert found["vllm_bridge_engine_up", first.id] == 0
        assert found["vllm_bridge_engine_up", second.id] == 1
        for engine in (first, second):
            await client.call(engine, "shutdown")
        assert (await scrape(url))["vllm_bridge_engines", None] == 0


async def test_metrics_want_the_token(scraped: Worker) -> None:
    async with aiohttp.ClientSession() as client, client.get(*scraped.metrics) as answer:
        assert answer.status == 401


async def test_spans_of_calls_reach_the_collector_in_the_callers_trace(workers: Workers) -> None:
    with collecting() as collector:
        with workers.running("spans", "--otlp-endpoint", collector.url) as worker:
            async with Client(worker.address) as client:
                engine = await fake_engine(client)
                await client.call(engine, "script", {"tokens": 2}, prompt="p")
                headers = {"traceparent": TRACEPARENT}
                async with client.session() as session:
                    stream = await session.start(
                        engine, "generate", "p", sampling(), "id", trace_headers=headers, credit=9
                    )
                    await stream.items()
                    with pytest.raises(Failed, match="INVALID"):
                        await session.call(engine, "generate", 5, trace_headers=headers)
                    given = (await session.call(engine, "calls", "generate"))[0][-1]
                await client.call(engine, "shutdown")
            # What is left is sent when the worker stops.
            await asyncio.to_thread(worker.stop)
        spans = [it for it in collector.spans if it.name.startswith("text_completion")]
        assert [it.trace_id.hex() for it in spans] == [TRACE] * 2
        assert [it.parent_span_id.hex() for it in spans] == [PARENT] * 2
        (_, own) = (given["trace_headers"]["traceparent"].rsplit("-", 2)[0], spans[0].span_id.hex())
        assert given["trace_headers"]["traceparent"] == f"00-{TRACE}-{own}-01"
        assert [it.status.code for it in spans] == [0, 2]
        answered = {it.key: it.value for it in spans[0].attributes}
        assert answered["gen_ai.usage.input_tokens"].int_value == 1
        assert answered["gen_ai.usage.output_tokens"].int_value == 2
        assert answered["gen_ai.response.finish_reasons"].array_value.values
        assert collector.services == {"vllm_bridge"}
        assert any(it.name == "AsyncLLM.from_engine_args" for it in collector.spans)


async def test_a_collector_that_does_not_answer_holds_nothing_up(workers: Workers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        # Longer than the worker may take to stop, and then it would end by force, with status 1.
        environment = {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "100", "VLLM_BRIDGE_GRACE": "0"}
        with workers.running("deaf", "--otlp-endpoint", url, environment=environment) as worker:
            async with Client(worker.address) as client:
                await client.call("Worker", "status")


async def test_a_worker_from_a_file_logs_json(workers: Workers, tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"
    file.write_text('log_format = "json"\nmax_calls = 3\ngrace = 1\n')
    environment = {"VLLM_BRIDGE_CONFIG": str(file), "VLLM_BRIDGE_LOG_LEVEL": "info"}
    with workers.running("configured", environment=environment) as worker:
        pass
    lines = [json.loads(it) for it in worker.log.read_text().splitlines()]
    messages = [it["message"] for it in lines]
    assert any(it.startswith("serving sessions at unix:") for it in messages)
    assert any("1.0 s for them" in it for it in messages)
    assert {it["pid"] for it in lines} == {worker.pid}


def test_a_setting_that_cannot_be_is_refused_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "worker.toml"
    file.write_text("grace = 'long'\n")
    command = [sys.executable, "-m", "python_worker", "--config", str(file)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"python_worker: --config {file}: grace: ")
    assert ended.stderr.count("\n") == 1


def test_metrics_at_an_address_that_is_taken_end_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "python_worker", "--listen", f"unix:{tmp_path}/socket"]
        ended = subprocess.run(
            [*command, "--metrics-listen", address],
            cwd=ROOT,
            env={**os.environ, "VLLM_BRIDGE_METRICS_TOKEN": "x"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"cannot listen at {address}" in ended.stderr
    assert list(tmp_path.iterdir()) == [], "nothing is left of the others"


def test_a_service_manager_is_told_of_start_life_and_stop(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(120)
        environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "200000"}
        with as_a_service(tmp_path, environment) as process:
            assert manager.recv(4096).startswith(b"READY=1\nSTATUS=serving sessions at unix:")
            assert [manager.recv(4096) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            process.terminate()
            while (told := manager.recv(4096)) == b"WATCHDOG=1":
                pass
            assert told.startswith(b"STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\n")
            assert process.wait(120) == 0


def as_a_service(
    folder: Path, environment: dict[str, str], prefix: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """A worker whose stdin is nobody's, as systemd and containers start it."""
    command = [*prefix, sys.executable, "-m", "python_worker", "--engine-class", FAKE_ENGINE]
    return subprocess.Popen(
        [*command, "--listen", f"unix:{folder}/socket"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


@needs_namespaces
async def test_as_process_1_it_serves_and_ends_with_the_worker(tmp_path: Path) -> None:
    with as_a_service(tmp_path, {}, NAMESPACE) as unshare:
        assert unshare.stdout is not None
        line = await asyncio.to_thread(unshare.stdout.readline)
        first = only_child(unshare.pid)
        async with Client(json.loads(line.removeprefix(READY))["grpc_address"]) as client:
            status = await client.call("Worker", "status")
            assert status["pid"] == 2, "process 1 is its parent"
            os.kill(only_child(first), signal.SIGKILL)
        assert await asyncio.to_thread(unshare.wait, 120) == 128 + signal.SIGKILL


@needs_namespaces
async def test_as_process_1_it_passes_sigterm_on(tmp_path: Path) -> None:
    with as_a_service(tmp_path, {"VLLM_BRIDGE_GRACE": "1"}, NAMESPACE) as unshare:
        assert unshare.stdout is not None
        await asyncio.to_thread(unshare.stdout.readline)
        os.kill(only_child(unshare.pid), signal.SIGTERM)
        assert await asyncio.to_thread(unshare.wait, 120) == 0
        assert not (tmp_path / "socket").exists()


def only_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def wait_gone(path: Path) -> None:
    deadline = time.monotonic() + 60
    while path.exists():
        assert time.monotonic() < deadline, f"{path} is still there"
        time.sleep(0.05)  # a file tells nobody that it is gone


async def test_shared_memory_of_a_dead_engine_is_removed(workers: Workers) -> None:
    folder = folder_choice.make_in("/tmp")
    piece = SHARED_MEMORY / f"{folder.name}_dist_{uuid4().hex}-tp:0-[0-1]-cpushm"
    environment = {"VLLM_BRIDGE_FOLDER": str(folder)}
    with workers.running("memory", environment=environment) as worker:
        async with Client(worker.address) as client:
            engine = await fake_engine(client)
            piece.write_bytes(b"some")
            try:
                await client.call(engine, "die")
                await asyncio.to_thread(wait_gone, piece)
            finally:
                piece.unlink(missing_ok=True)
            assert f"removed {piece}" in worker.tail()
            await client.call(engine, "shutdown")
