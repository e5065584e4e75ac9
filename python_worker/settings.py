"""The worker's command line, as one frozen dataclass.

The token comes from the environment, because a command line can be read by
every user of the machine.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

TOKEN_VARIABLE = "VLLM_BRIDGE_TOKEN"

# sun_path of sockaddr_un holds 108 bytes with its closing zero.
MAX_SOCKET_PATH_BYTES = 107

TokenPathSetting = Literal["auto", "outputs"]

MAX_PORT = 65_535

# Less than 0 would need privileges, and would have the client wait.
MAX_NICE = 19

# What `--grpc-listen` takes in place of an address.
NO_GRPC = "none"


@dataclass(frozen=True)
class TlsFiles:
    """The files of TLS, each in PEM.

    Attributes:
        cert: The worker's certificate, and those between it and its CA.
        key: The key of the certificate, not encrypted.
        client_ca: The CAs whose certificates clients must present; empty to ask for none.
    """

    cert: str
    key: str
    client_ca: str = ""


@dataclass(frozen=True)
class Settings:
    """What a worker is told at its start.

    Attributes:
        listen: Addresses for sessions, each ``unix:PATH``, ``tcp:HOST:PORT`` or
            ``tls:HOST:PORT`` (port 0 picks a free one).
        grpc_listen: Addresses for gRPC, in the same form; none turns gRPC off.
        token: What clients must present; empty for none, which TCP refuses.
        tls_cert: The file of the worker's certificate; with it every network address takes TLS
            only. Empty for none.
        tls_key: The file of the certificate's key.
        tls_client_ca: The file of the CAs of the clients' certificates; empty to ask for none.
        roles: The file of the roles that tokens and certificates have; empty for none.
        lifeline: Whether the end of stdin ends the worker.
        engine_class: ``module:Class`` served in place of vLLM's ``AsyncLLM``. Its attribute
            ``offline_class``, where it has one, names what is served in place of ``LLM``.
        grace: Seconds that calls in flight are given when the worker stops.
        stall_after: Seconds that requests may get nothing from their engine before
            it counts as hanging; 0 for as long as it likes.
        max_calls: How many calls may run at once; more are refused.
        token_path: ``auto`` to take tokens directly from vLLM's request states if
            its sources are known, ``outputs`` to make and encode every output.
        nice: The nice value of the worker's session, where Linux divides the CPU
            among sessions; see ``process.cpu_share``.
        log_level: Name of the level of the worker's own log.
    """

    listen: tuple[str, ...]
    grpc_listen: tuple[str, ...] = ()
    token: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    roles: str = ""
    lifeline: bool = False
    engine_class: str | None = None
    grace: float = 5.0
    stall_after: float = 120.0
    max_calls: int = 10_000
    token_path: TokenPathSetting = "auto"
    nice: int = 10
    log_level: str = "INFO"

    @property
    def tls(self) -> TlsFiles | None:
        """The files of TLS together; None without TLS."""
        return tls_files(self.tls_cert, self.tls_key, self.tls_client_ca)


class SettingsError(ValueError):
    """The command line asks for something that cannot be had."""


def parse(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the command line.

    Raises:
        SettingsError: An address has no known form, its path is too long for a
            socket, TCP is asked for without a token, TLS without its files, an
            address is named twice, no call may run, or the nice value is out of
            its range.
    """
    known = parser().parse_args(argv)
    token = environ.get(TOKEN_VARIABLE, "")
    tls = tls_files(known.tls_cert, known.tls_key, known.tls_client_ca)
    guarded = bool(token or known.roles or (tls and tls.client_ca))
    listen = tuple(with_tls(address, tls) for address in known.listen)
    for address in listen:
        check_address(address, guarded=guarded)
    given = known.grpc_listen and [with_tls(address, tls) for address in known.grpc_listen]
    grpc_listen = grpc_addresses(listen, given, guarded=guarded)
    check_distinct([*listen, *grpc_listen])
    if known.max_calls < 1:
        raise SettingsError(f"--max-calls is at least 1, got {known.max_calls}")
    if not 0 <= known.nice <= MAX_NICE:
        raise SettingsError(f"--nice is from 0 to {MAX_NICE}, got {known.nice}")
    return Settings(
        listen=listen,
        grpc_listen=grpc_listen,
        token=token,
        tls_cert=known.tls_cert,
        tls_key=known.tls_key,
        tls_client_ca=known.tls_client_ca,
        roles=known.roles,
        lifeline=known.lifeline == "stdin",
        engine_class=known.engine_class,
        grace=known.grace,
        stall_after=known.stall_after,
        max_calls=known.max_calls,
        token_path=known.token_path,
        nice=known.nice,
        log_level=known.log_level.upper(),
    )


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog="python_worker", description=__doc__)
    parser.add_argument(
        "--listen",
        action="append",
        required=True,
        metavar="ADDRESS",
        help="where sessions of the Elixir client are opened: unix:PATH or tcp:HOST:PORT, "
        "which is tls://HOST:PORT with --tls-cert; may be given more than once",
    )
    parser.add_argument(
        "--grpc-listen",
        action="append",
        metavar="ADDRESS",
        help="where gRPC is served (health, reflection, Call, Stream, Session); may be given "
        "more than once. Without it, beside each address of --listen: PATH.grpc, or the next "
        f"port. `{NO_GRPC}` turns gRPC off",
    )
    add_security(parser)
    parser.add_argument("--lifeline", choices=["stdin", "none"], default="none")
    parser.add_argument("--engine-class", metavar="MODULE:CLASS")
    parser.add_argument("--grace", type=float, default=Settings.grace, metavar="SECONDS")
    parser.add_argument(
        "--stall-after", type=float, default=Settings.stall_after, metavar="SECONDS"
    )
    parser.add_argument("--max-calls", type=int, default=Settings.max_calls, metavar="COUNT")
    parser.add_argument(
        "--token-path", choices=get_args(TokenPathSetting), default=Settings.token_path
    )
    parser.add_argument(
        "--nice",
        type=int,
        default=Settings.nice,
        metavar="VALUE",
        help="the nice value of the worker's session where Linux divides the CPU among sessions "
        f"(autogroup), 0 to {MAX_NICE}; %(default)s unless given. 0 changes nothing",
    )
    parser.add_argument("--log-level", default=Settings.log_level)
    return parser


def add_security(parser: argparse.ArgumentParser) -> None:
    """Add what says who is let in, and how."""
    parser.add_argument(
        "--tls-cert",
        default="",
        metavar="FILE",
        help="the worker's certificate in PEM, with those between it and its CA. Every network "
        "address then takes TLS only; Unix sockets stay as they are. Changed files are read again",
    )
    parser.add_argument(
        "--tls-key", default="", metavar="FILE", help="the key of --tls-cert in PEM, not encrypted"
    )
    parser.add_argument(
        "--tls-client-ca",
        default="",
        metavar="FILE",
        help="the CAs in PEM whose certificates clients must present; such a client needs no token "
        f"unless {TOKEN_VARIABLE} is set",
    )
    parser.add_argument(
        "--roles",
        default="",
        metavar="FILE",
        help="roles in TOML, which limit what clients may do by their token or certificate",
    )


def tls_files(cert: str, key: str, client_ca: str) -> TlsFiles | None:
    """The files of TLS as they were named; None when none was.

    Raises:
        SettingsError: One is missing.
    """
    if not (cert or key or client_ca):
        return None
    if not cert or not key:
        raise SettingsError("TLS needs both --tls-cert and --tls-key")
    return TlsFiles(cert, key, client_ca)


def with_tls(address: str, tls: TlsFiles | None) -> str:
    """An address in the form that the worker uses; ``tcp:`` becomes ``tls:`` with its files.

    Raises:
        SettingsError: It asks for TLS, and there are no files.
    """
    scheme, _, rest = address.partition(":")
    if scheme == "tls":
        if tls is None:
            raise SettingsError(f"{address} needs --tls-cert and --tls-key")
        return f"tls:{rest.removeprefix('//')}"
    return f"tls:{rest}" if scheme == "tcp" and tls is not None else address


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


def check_distinct(addresses: Sequence[str]) -> None:
    """Refuse an address that is to be listened at twice; port 0 is another each time.

    Raises:
        SettingsError: With the address.
    """
    for place, address in enumerate(addresses):
        port_is_free = not address.startswith("unix:") and address.endswith(":0")
        if address in addresses[:place] and not port_is_free:
            raise SettingsError(
                f"{address} is to be listened at twice, for sessions (--listen) or for gRPC "
                "(--grpc-listen; by default beside each address of --listen)"
            )
