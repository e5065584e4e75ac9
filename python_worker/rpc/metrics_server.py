"""Serves ``GET /metrics`` over HTTP, to Prometheus and whatever reads its format.

It is off unless ``--metrics-listen`` is given, and aiohttp, which vLLM requires too, is imported
only then. A page is made in a thread of its own, one page at a time, so that scrapes neither hold
up the loop nor take the threads of blocking methods. Every connection ends after some seconds, and
there are only so many, so that no client can use up the worker's file descriptors here.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from python_worker.rpc import addresses
from python_worker.rpc.metrics_text import Page, encoded

logger = logging.getLogger(__name__)

PATH = "/metrics"

# A scrape takes some milliseconds, and Prometheus gives one 10 s unless told otherwise.
CONNECTION_SECONDS = 10.0
MAX_CONNECTIONS = 64


class MetricsServer:
    """The listeners of the metrics.

    Args:
        page: Makes the page.
        tokens: Any of which clients must present; none for everybody.
    """

    def __init__(self, page: Page, tokens: Sequence[str]) -> None:
        self._page = page
        self._tokens = [it.encode() for it in tokens]
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        app = web.Application()
        app.router.add_get(PATH, self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        self._accepting: list[asyncio.Server] = []

    async def open(self, listen: Sequence[str]) -> list[str]:
        """Listen at addresses.

        Returns:
            The addresses as clients take them: TCP port 0 has become the port that was free.

        Raises:
            SettingsError: One cannot be bound.
        """
        await self._runner.setup()
        bound = []
        for address in listen:
            accepting, at = await addresses.listen(address, self._connection)
            self._accepting += accepting
            bound.append(at)
        return bound

    async def close(self) -> None:
        """Accept no more connections, and end those there are."""
        for listener in self._accepting:
            listener.close()
        await self._runner.cleanup()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None, "it is set up"
        if len(server.connections) >= MAX_CONNECTIONS:
            logger.warning("refused a connection to /metrics: there are %d", MAX_CONNECTIONS)
            return Refused()
        connection = server()
        asyncio.get_running_loop().call_later(CONNECTION_SECONDS, connection.force_close)
        return connection

    async def _answer(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
        if self._tokens and not any(hmac.compare_digest(given, it) for it in self._tokens):
            return web.Response(
                status=401,
                text="the header `Authorization: Bearer TOKEN` is missing or wrong\n",
                headers={"WWW-Authenticate": "Bearer"},
            )
        snapshot = await self._page.snapshot()
        body, content_type = await asyncio.get_running_loop().run_in_executor(
            self._thread, encoded, snapshot, request.headers.get("Accept", "")
        )
        response = web.Response(body=body, headers={"Content-Type": content_type})
        response.enable_compression()
        return response


class Refused(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Closes it."""
        transport.close()
