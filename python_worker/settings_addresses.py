"""The addresses of a worker: what they may look like, and which may be listened at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import urlsplit

from python_worker.settings import (
    MAX_SOCKET_PATH_BYTES,
    TOKEN_VARIABLE,
    SettingsError,
)

MAX_PORT = 65_535

# What `--grpc-listen` takes in place of an address.
NO_GRPC = "none"


def with_tls(address: str, *, tls: bool) -> str:
    """An address in the form that the worker uses; ``tcp:`` becomes ``tls:`` with TLS.

    Raises:
        SettingsError: It asks for TLS, and there are no files.
    """
    scheme, _, rest = address.partition(":")
    if scheme == "tls":
        if not tls:
            raise SettingsError(f"{address} needs --tls-cert and --tls-key")
        return f"tls:{rest.removeprefix('//')}"
    return f"tls:{rest}" if scheme == "tcp" and tls else address


def grpc_addresses(
    listen: Sequence[str], given: Sequence[str] | None, *, guarded: bool
) -> tuple[str, ...]:
    """Where gRPC is served: as given, or beside each address of the sessions.

    Raises:
        SettingsError: It cannot be served there.
    """
    if given is None:
        return tuple(beside(address, guarded=guarded) for address in listen)
    if NO_GRPC in given:
        if len(given) > 1:
            raise SettingsError(f"--grpc-listen {NO_GRPC} excludes any other --grpc-listen")
        return ()
    for address in given:
        check_address(address, guarded=guarded)
    return tuple(given)


def beside(address: str, *, guarded: bool) -> str:
    """The address of gRPC that belongs to an address of sessions.

    Raises:
        SettingsError: Nothing can listen there.
    """
    scheme, _, rest = address.partition(":")
    host, _, port = rest.rpartition(":")
    if scheme == "unix":
        derived = f"{address}.grpc"
    else:
        derived = f"{scheme}:{host}:{int(port) + 1 if int(port) else 0}"
    try:
        check_address(derived, guarded=guarded)
    except SettingsError as error:
        raise SettingsError(
            f"gRPC cannot be served beside {address}: {error}; give gRPC an address with "
            f"--grpc-listen, or turn it off with --grpc-listen {NO_GRPC}"
        ) from error
    return derived


def check_address(address: str, *, guarded: bool) -> None:
    """Refuse an address that cannot be listened at, or may not be.

    Args:
        address: In the form that ``with_tls`` gives it.
        guarded: Whether clients from the network must show a token or a certificate.

    Raises:
        SettingsError: With the reason.
    """
    scheme, _, rest = address.partition(":")
    port = rest.rpartition(":")[2]
    if scheme == "unix" and rest:
        length = len(os.fsencode(rest))
        if length > MAX_SOCKET_PATH_BYTES:
            raise SettingsError(
                f"the socket path {rest} has {length} bytes; "
                f"a Unix socket takes at most {MAX_SOCKET_PATH_BYTES}"
            )
    elif scheme in ("tcp", "tls") and port.isascii() and port.isdigit():
        if int(port) > MAX_PORT:
            raise SettingsError(f"{address} has a port above {MAX_PORT}")
        if not guarded:
            raise SettingsError(
                f"{address} would let anyone on the network in: set {TOKEN_VARIABLE}, name the CA "
                "of the clients' certificates with --tls-client-ca, or listen on a Unix socket"
            )
    else:
        raise SettingsError(
            f"{address!r} is neither unix:PATH nor tcp:HOST:PORT nor tls://HOST:PORT"
        )


def check_endpoint(url: str | None) -> None:
    """Refuse what is no URL of a collector.

    Raises:
        SettingsError: With the reason.
    """
    if url is None:
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"--otlp-endpoint {url!r} is no URL such as http://localhost:4317")


def check_distinct(addresses: Sequence[str]) -> None:
    """Refuse an address that is to be listened at twice; port 0 is another each time.

    Raises:
        SettingsError: With the address.
    """
    for place, address in enumerate(addresses):
        port_is_free = not address.startswith("unix:") and address.endswith(":0")
        if address in addresses[:place] and not port_is_free:
            raise SettingsError(
                f"{address} is to be listened at twice, for sessions (--listen), for metrics "
                "(--metrics-listen) or for gRPC (--grpc-listen; by default beside each address "
                "of --listen)"
            )
