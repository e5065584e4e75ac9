"""The addresses that a worker listens at: Unix sockets, and ports of TCP.

The command line takes the path of a socket as it is. What the worker announces (the READY line, the
handshakes, the errors that name an address) are URIs, as gRPC takes them: see ``uri``.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from python_worker.settings import SettingsError

# Connections that may wait to be accepted; a Unix socket refuses any more.
BACKLOG = 1024

# Seconds. A client whose host or network has gone without a word is asked for after so long without
# anything from it, then this often, this many times. Linux asks after two hours by itself; until
# then its requests would run and its references be kept.
QUIET_SECONDS = 20
ASK_SECONDS = 5
ASK_TIMES = 4


@dataclass
class Addresses:
    """Where a worker listens, as clients connect: no port is 0.

    Attributes:
        sessions: The sessions' listeners.
        grpc: gRPC's listeners; none when gRPC is off.
        metrics: Where ``/metrics`` is served.
    """

    sessions: list[str] = field(default_factory=list)
    grpc: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)

    def sessions_beside(self, scheme: str) -> str:
        """The URI where a client opens a session that reached gRPC over ``unix`` or the network."""
        return uri(like(scheme, self.sessions))

    def grpc_beside(self, scheme: str) -> str:
        """The URI of gRPC for a client that reached the sessions over ``unix`` or the network."""
        return uri(like(scheme, self.grpc))


def uri(address: str) -> str:
    """An address as a URI: each byte of a path that is no letter, digit or ``/._-~`` as ``%XX``.

    So it is one word of ASCII without quotes, whatever bytes the path has.
    """
    scheme, colon, rest = address.partition(":")
    if scheme == "unix":
        # Two slashes at its beginning would make the first part of the path the name of a host.
        if rest.startswith("//"):
            rest = "/" + rest.lstrip("/")
        return scheme + colon + quote(os.fsencode(rest))
    slashes = "//" if scheme == "tls" else ""
    return scheme + colon + slashes + quote(os.fsencode(rest), safe="[]:")


def like(scheme: str, addresses: Sequence[str]) -> str:
    """The first address of a kind, else the first of all; empty when there is none.

    Args:
        scheme: ``unix``, or any other for the network.
        addresses: In the order in which they were bound.
    """
    alike = [it for it in addresses if it.startswith("unix:") == (scheme == "unix")]
    return next(iter([*alike, *addresses]), "")


async def listen(
    address: str, connection: Callable[[], asyncio.Protocol]
) -> tuple[list[asyncio.Server], str]:
    """Accept connections at one address; TCP port 0 becomes the port that was free.

    Args:
        address: ``unix:PATH``, ``tcp:HOST:PORT`` or ``tls:HOST:PORT``.
        connection: Makes the protocol of a connection.

    Returns:
        What accepts them, and the address as clients take it.

    Raises:
        SettingsError: It cannot be bound.
    """
    loop = asyncio.get_running_loop()
    scheme, _, rest = address.partition(":")
    try:
        if scheme == "unix":
            make_room(address)
            listener = await loop.create_unix_server(connection, rest, backlog=BACKLOG)
            restrict(address)
            return [listener], address
        host, _, port = rest.rpartition(":")
        sockets = bind(host, int(port))
        listeners = [
            await loop.create_server(connection, sock=it, backlog=BACKLOG) for it in sockets
        ]
    except OSError as error:
        raise SettingsError(f"cannot listen at {address}: {error}") from error
    return listeners, f"{scheme}:{host}:{sockets[0].getsockname()[1]}"


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets at every address of a host, all at one port: for port 0, one that is free.

    Raises:
        OSError: It cannot be bound.
    """
    bound: list[socket.socket] = []
    flags = socket.AI_PASSIVE
    found = socket.getaddrinfo(host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=flags)
    try:
        for family, kind, protocol, _name, address in found:
            new = socket.socket(family, kind, protocol)
            bound.append(new)
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # The other family is bound on its own, where the host has it.
                new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ask_silent_clients(new)
            new.bind((address[0], port, *address[2:]))
            port = new.getsockname()[1]
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound


def ask_silent_clients(listener: socket.socket) -> None:
    """Have the kernel close accepted connections whose other side is gone.

    The kernel of a client answers even if the client is stopped or busy. One that is there is
    closed only if it has read nothing of what was sent for so long: Linux counts that as silence.

    Args:
        listener: What it accepts has the same options.
    """
    silent = 1000 * (QUIET_SECONDS + ASK_SECONDS * ASK_TIMES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", QUIET_SECONDS),
        ("TCP_KEEPINTVL", ASK_SECONDS),
        ("TCP_KEEPCNT", ASK_TIMES),
        # The same for what was sent and is not acknowledged.
        ("TCP_USER_TIMEOUT", silent),
    ):
        if (option := getattr(socket, name, None)) is not None:  # not every system has each
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


def make_room(address: str) -> None:
    """Make the folder of a Unix socket, and remove the socket that a dead worker has left there.

    Raises:
        OSError: The folder cannot be made or written to, or something else is at the path.
    """
    scheme, _, path = address.partition(":")
    if scheme == "unix":
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_dead_socket(path)


def remove_dead_socket(path: str) -> None:
    """Remove a Unix socket at which nobody listens.

    Raises:
        OSError: Somebody does, or what is there is no socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "what is there is no socket", path)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:  # so many wait to be accepted that no more may
            pass
    raise OSError(errno.EADDRINUSE, "another process listens there", path)


def restrict(address: str) -> None:
    """Let nobody but the owner connect to a Unix socket."""
    scheme, _, path = address.partition(":")
    if scheme == "unix":
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)


def remove_socket(address: str) -> None:
    """Remove the file of a Unix socket of ours."""
    scheme, _, path = address.partition(":")
    if scheme == "unix":
        Path(path).unlink(missing_ok=True)


def missing_folders(addresses: Sequence[str]) -> list[Path]:
    """The folders of Unix sockets that are not there yet, each before the one that it is in."""
    missing: dict[Path, None] = {}
    for address in addresses:
        scheme, _, path = address.partition(":")
        if scheme == "unix":
            missing |= dict.fromkeys(it for it in Path(path).parents if not it.exists())
    return sorted(missing, key=lambda it: len(it.parts), reverse=True)
