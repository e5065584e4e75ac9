"""``/metrics`` over HTTP: what is answered, to whom, and for how long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from python_worker.rpc import metrics_server
from python_worker.rpc.metrics_server import MetricsServer
from python_worker.rpc.metrics_text import Snapshot
from python_worker.settings import SettingsError

ON_UVLOOP = True

EMPTY = {"worker_version": "1", "vllm_version": "2", "python_version": "3", "incarnation": "4"}
STATUS = {**EMPTY, "uptime_s": 1, "calls": 0, "sessions": 0, "references": 0, "engines": []}


class Page:
    """In place of the worker's."""

    async def snapshot(self) -> Snapshot:
        return Snapshot(STATUS, {}, [])


@asynccontextmanager
async def serving(*tokens: str, listen: str = "tcp:127.0.0.1:0") -> AsyncIterator[str]:
    page: Any = Page()
    server = MetricsServer(page, tokens)
    (address,) = await server.open([listen])
    try:
        yield address
    finally:
        await server.close()


def http(address: str) -> str:
    return f"http://{address.removeprefix('tcp:')}"


async def get(address: str, path: str = "/metrics", **options: Any) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as client,
        client.request(options.pop("method", "GET"), http(address) + path, **options) as answer,
    ):
        return answer.status, await answer.text()


async def test_a_scrape() -> None:
    async with serving() as address:
        status, text = await get(address)
        assert status == 200
        assert "vllm_bridge_info{" in text
        assert (await get(address, method="HEAD")) == (200, "")
        assert (await get(address, "/"))[0] == 404
        assert (await get(address, method="POST"))[0] == 405


async def test_one_of_the_tokens_is_wanted() -> None:
    async with serving("one", "other") as address:
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
            status, text = await get(address, headers=given)
            assert (status, "vllm_bridge" in text) == (401, False)
        for token in ("one", "other"):
            headers = {"Authorization": f"Bearer {token}"}
            assert (await get(address, headers=headers))[0] == 200


async def test_a_unix_socket_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    async with (
        serving(listen=f"unix:{path}"),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client,
        client.get("http://worker/metrics") as answer,
    ):
        assert answer.status == 200
        assert path.stat().st_mode & 0o777 == 0o600


async def test_an_address_that_is_taken_is_refused() -> None:
    async with serving() as address:
        with pytest.raises(SettingsError, match="cannot listen at"):
            async with serving(listen=address):
                pass


async def test_a_page_is_made_beside_the_loop_and_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    making, may_end = threading.Semaphore(0), threading.Event()
    threads: list[str] = []

    def encoded(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
        threads.append(threading.current_thread().name)
        making.release()
        assert may_end.wait(60)
        return b"page", "text/plain"

    monkeypatch.setattr(metrics_server, "encoded", encoded)
    async with serving() as address:
        scrapes = [asyncio.ensure_future(get(address)) for _ in range(3)]
        # The loop runs meanwhile, or this would not end.
        await asyncio.to_thread(making.acquire)
        may_end.set()
        assert {await it for it in scrapes} == {(200, "page")}
    assert len(set(threads)) == 1
    assert "MainThread" not in threads


async def test_a_client_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "CONNECTION_SECONDS", 0.05)
    async with serving() as address:
        host, _, port = address.removeprefix("tcp:").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /metrics HT")  # and never more
        assert await reader.read() == b""
        writer.close()


async def test_there_are_only_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "MAX_CONNECTIONS", 2)
    async with serving() as address:
        host, _, port = address.removeprefix("tcp:").rpartition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b""
        for _, each in (*silent, (reader, writer)):
            each.close()
