"""gRPC's server: it binds its own listeners, and another takes its place when it breaks."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from python_worker.rpc import addresses
from python_worker.rpc.certificates import Certificates
from python_worker.rpc.grpc_service import SERVICE, Bridge
from python_worker.rpc.health import Health
from python_worker.settings import SettingsError
from python_worker.wire.limits import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # One HTTP/2 DATA frame for what one gRPC message usually holds.
    ("grpc.http2.max_frame_size", 1024 * 1024),
    # What a client may send before we have read it. gRPC would begin with 64 kB and ask with
    # pings how much more the way bears, so that 64 MB take twice as long.
    ("grpc.http2.lookahead_bytes", 8 * 1024 * 1024),
    ("grpc.http2.bdp_probe", 0),
    # As at the sessions' listener: a client that has gone without a word is noticed.
    ("grpc.keepalive_time_ms", 1000 * addresses.QUIET_SECONDS),
    ("grpc.keepalive_timeout_ms", 1000 * addresses.ASK_SECONDS * addresses.ASK_TIMES),
    # Else two workers could be started at one port, and each would get a part of the clients.
    ("grpc.so_reuseport", 0),
]

# How often gRPC is asked whether it still takes calls; it tells nobody.
LOOK_SECONDS = 0.2

# How often a listener that its last owner has not closed yet is tried again.
BIND_AGAIN_SECONDS = 0.05


class GrpcServer:
    """Serves the bridge, health and reflection to any gRPC client.

    Args:
        register: Adds the services to a server.
        certificates: For addresses that take TLS.
    """

    def __init__(
        self,
        register: Callable[[grpc.aio.Server], None],
        certificates: Certificates | None = None,
    ) -> None:
        self._register = register
        self._certificates = certificates
        self._server = self._make()
        # As bound, in the order in which they were asked for.
        self._bound: list[str] = []
        # Servers that take no more calls, and may have sessions.
        self._retired: dict[grpc.aio.Server, asyncio.Future[None]] = {}

    def bind(self, address: str) -> str:
        """Listen at an address; connections wait there for the start.

        Returns:
            The address as clients take it: TCP port 0 has become the port that was free.

        Raises:
            SettingsError: It cannot be bound.
        """
        try:
            addresses.make_room(address)
            port = self._add_port(address)
            addresses.restrict(address)
        except OSError as error:
            raise SettingsError(f"gRPC cannot listen at {address}: {error}") from error
        except RuntimeError as error:
            reason = why_not(address) or str(error)
            raise SettingsError(
                f"gRPC cannot listen at {address}: {reason}; give it another address with "
                "--grpc-listen, or turn it off with --grpc-listen none"
            ) from error
        if address.startswith("unix:") and "," in address:
            logger.warning(
                "gRPC's clients that share the code of its C++ library, as those for Python do, "
                "cannot connect to %s: they take a comma for the end of an address",
                addresses.uri(address),
            )
        self._bound.append(with_port(address, port))
        return self._bound[-1]

    async def start(self) -> None:
        """Serve at what was bound."""
        await self._server.start()

    async def keep_serving(self) -> None:
        """Have another server take over whenever gRPC takes no more calls by itself.

        A request for a path that is no UTF-8 is enough, before anybody has asked for a token. Only
        what takes calls is broken then: those that run, sessions too, go on where they are. gRPC
        has begun to stop it and sent GOAWAY: who connects before the next one serves is refused
        or cancelled at once, and tries again.
        """
        while True:
            try:
                await self._server.wait_for_termination(LOOK_SECONDS)
                continue
            except Exception as error:
                logger.error("gRPC takes no more calls: %r; it is started again", error)
            self._retired[self._server] = asyncio.ensure_future(self._retire(self._server))
            self._server = self._make()
            for address in self._bound:
                await self._bind_again(address)
            await self.start()
            logger.warning("gRPC takes calls again at %s", ", ".join(self._bound))

    async def stop(self, seconds: float) -> None:
        """Close the listeners, and the connections when their calls have ended or time is up."""
        servers = [self._server, *self._retired]
        await asyncio.gather(*(server.stop(grace=seconds) for server in servers))

    def _add_port(self, address: str) -> int:
        if address.startswith("tls:") and self._certificates is not None:
            credentials = self._certificates.grpc_credentials()
            return self._server.add_secure_port(target(address), credentials)
        return self._server.add_insecure_port(target(address))

    def _make(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=CHANNEL_OPTIONS)
        self._register(server)
        return server

    async def _bind_again(self, address: str) -> None:
        """Bind where the last server has listened, as soon as it no longer does."""
        while True:
            # The last one removes its socket's file when it closes it, whosever that is by then.
            if not socket_exists(address):
                with suppress(RuntimeError):
                    self._add_port(address)
                    addresses.restrict(address)
                    return
            await asyncio.sleep(BIND_AGAIN_SECONDS)

    async def _retire(self, server: grpc.aio.Server) -> None:
        """Stop a server that takes no more calls, once those it has are over."""
        with suppress(Exception):
            await server.wait_for_termination()
        await server.stop(None)
        del self._retired[server]


def services(bridge: Bridge, health: Health) -> Callable[[grpc.aio.Server], None]:
    """What adds the services of a worker to a server of gRPC."""
    names: Sequence[str] = (
        SERVICE,
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        reflection.SERVICE_NAME,
    )

    def register(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers((bridge.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
        reflection.enable_server_reflection(names, server)

    return register


def target(address: str) -> str:
    """An address as gRPC takes it: a path is part of a URI, and every host has a name."""
    scheme, _, rest = address.partition(":")
    if scheme == "unix":
        return addresses.uri(address)
    host, _, port = rest.rpartition(":")
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host or '[::]'}:{port}"


def with_port(address: str, port: int) -> str:
    """An address with the port that was bound."""
    scheme, _, rest = address.partition(":")
    return address if scheme == "unix" else f"{scheme}:{rest.rpartition(':')[0]}:{port}"


def socket_exists(address: str) -> bool:
    """Whether the file of a Unix socket is there."""
    scheme, _, path = address.partition(":")
    return scheme == "unix" and Path(path).exists()


def why_not(address: str) -> str:
    """Why an address cannot be bound, which gRPC does not tell; empty when it can be by now."""
    scheme, _, rest = address.partition(":")
    bound: list[socket.socket] = []
    try:
        if scheme == "unix":
            bound.append(socket.socket(socket.AF_UNIX))
            bound[0].bind(rest)
            addresses.remove_socket(address)
        else:
            host, _, port = rest.rpartition(":")
            bound += addresses.bind(host, int(port))
    except OSError as error:
        return str(error)
    finally:
        for each in bound:
            each.close()
    return ""
