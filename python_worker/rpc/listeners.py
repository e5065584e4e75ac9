"""The listeners of a worker: where sessions are opened, gRPC is served, and metrics are.

Sessions have listeners of their own because gRPC's server for Python makes a call 1.6
times as long. gRPC binds its own, beside them. Each of the two names the other: to a session in
its hello, to any other client in the error that it gets.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from python_worker.rpc import addresses, tls_clients
from python_worker.rpc.addresses import Addresses
from python_worker.rpc.certificates import Certificates
from python_worker.rpc.grpc_server import GrpcServer
from python_worker.rpc.preface import NewConnection
from python_worker.rpc.session_protocol import SessionProtocol
from python_worker.rpc.sessions import Sessions
from python_worker.settings import SettingsError


class MetricsListener(Protocol):
    """As far as it is used here: ``metrics_server`` is imported where it is wanted."""

    async def open(self, listen: Sequence[str]) -> list[str]:
        """Listen at addresses, and return them as clients take them."""

    async def close(self) -> None:
        """End what was opened."""


class Listeners:
    """All listeners of one worker, and the connections of the sessions' ones.

    Args:
        sessions: The clients that hold sessions.
        grpc: gRPC's server.
        bound: Where the worker listens; filled as the listeners are opened.
        certificates: For addresses that take TLS.
        metrics: Serves metrics; None where nobody asked for them.
    """

    def __init__(
        self,
        sessions: Sessions,
        grpc: GrpcServer,
        bound: Addresses,
        certificates: Certificates | None = None,
        metrics: MetricsListener | None = None,
    ) -> None:
        self._certificates = certificates
        self._sessions = sessions
        self._grpc = grpc
        self._bound = bound
        self._metrics = metrics
        self._accepting: list[asyncio.Server] = []
        self._connections: set[SessionProtocol] = set()
        self._keeper: asyncio.Task[None] | None = None
        # Made for the sockets, and removed with them.
        self._folders: list[Path] = []

    async def open(
        self,
        listen: Sequence[str],
        grpc_listen: Sequence[str],
        metrics_listen: Sequence[str] = (),
    ) -> None:
        """Listen at addresses for sessions, and at others for gRPC and for metrics.

        Nobody is answered before all are bound, so that each kind can name the other.

        Raises:
            SettingsError: One cannot be bound; nothing is left of the others.
        """
        self._folders = addresses.missing_folders([*listen, *grpc_listen, *metrics_listen])
        try:
            for address in grpc_listen:
                self._bound.grpc.append(self._grpc.bind(address))
            for address in listen:
                await self._open_sessions(address)
            if self._metrics is not None:
                self._bound.metrics += await self._metrics.open(metrics_listen)
        except SettingsError:
            await self.close(0)
            raise
        if grpc_listen:
            await self._grpc.start()
            self._keeper = asyncio.ensure_future(self._grpc.keep_serving())

    async def close(self, seconds: float) -> None:
        """Accept no more connections, and end those there are.

        Args:
            seconds: What is left to be read by clients has so long to leave.
        """
        if self._keeper is not None:
            self._keeper.cancel()
        for listener in self._accepting:
            listener.close()
        await asyncio.gather(
            *(connection.stop(seconds) for connection in self._connections),
            self._grpc.stop(seconds),
            *(() if self._metrics is None else (self._metrics.close(),)),
        )
        self.remove_files()

    def remove_files(self) -> None:
        """Remove the Unix sockets, and the folders that were made for them if they are empty."""
        for address in (*self._bound.sessions, *self._bound.grpc, *self._bound.metrics):
            addresses.remove_socket(address)
        for folder in self._folders:
            with suppress(OSError):
                folder.rmdir()

    async def _open_sessions(self, address: str) -> None:
        grpc_address = self._bound.grpc_beside(address.partition(":")[0])
        session = functools.partial(
            SessionProtocol, self._sessions, self._connections, grpc_address
        )
        connection: Callable[[], asyncio.Protocol]
        connection = functools.partial(NewConnection, session, grpc_address)
        if address.startswith("tls:") and self._certificates is not None:
            connection = tls_clients.connection(self._certificates, connection)
        accepting, bound = await addresses.listen(address, connection)
        self._accepting += accepting
        self._bound.sessions.append(bound)
