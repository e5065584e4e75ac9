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

# A year. Timers of threads take no longer than some hundred years.
MAX_SECONDS = 365 * 24 * 3600

# What `--grpc-listen` takes in place of an address.
NO_GRPC = "none"

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

DESCRIPTION = """\
Holds vLLM engines and serves their methods: to the Elixir client through
sessions, to any other program through gRPC.

The Elixir client starts a worker by itself. Start one by hand to serve clients
in other languages, or to keep engines alive while an application restarts
(`{Vllm, name: MyApp.Vllm, connect: ADDRESS}`).\
"""

EPILOG = f"""\
environment variables:
  {TOKEN_VARIABLE}    the token that clients must present; required with tcp:
                       addresses, unless --tls-client-ca or --roles says who is
                       let in. It is no option, because a command line can be
                       read by every user of the machine
  CUDA_VISIBLE_DEVICES, VLLM_*, HF_*
                       as vLLM documents them. Without a GPU:
  VLLM_CPU_KVCACHE_SPACE
                       GiB for the KV cache of each engine; vLLM's default is
                       nine tenths of the memory
  TMPDIR               where the folder of vLLM's sockets is made

output:
  When it serves, it prints one line to stdout: VLLM_BRIDGE READY and a JSON
  object with `address`, `pid`, `incarnation` and `grpc_address`. Everything
  else goes to stderr.

signals:
  SIGTERM and SIGINT stop it after --grace.

exit status:
  0    it was stopped, or its lifeline ended
  1    it could not stop in time and ended by force, or failed
  2    an option or address cannot be used; the reason is on stderr

examples:
  python -m python_worker --listen unix:/run/vllm/worker.sock
  {TOKEN_VARIABLE}=$(cat token) \\
      python -m python_worker --listen tcp:0.0.0.0:5000
  python -m python_worker --listen unix:/tmp/fake.sock \\
      --engine-class python_worker.testing.fake_engine:FakeAsyncLLM
"""


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
        tls: The files of TLS; with them every network address takes TLS only.
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
    tls: TlsFiles | None = None
    roles: str = ""
    lifeline: bool = False
    engine_class: str | None = None
    grace: float = 5.0
    stall_after: float = 120.0
    max_calls: int = 10_000
    token_path: TokenPathSetting = "auto"
    nice: int = 10
    log_level: str = "INFO"


class SettingsError(ValueError):
    """The command line asks for something that cannot be had."""


def parse(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the command line.

    Raises:
        SettingsError: An address has no known form, its path is too long for a
            socket, TCP is asked for without a token, TLS without its files, an
            address is named twice, no call may run, or a number is out of its
            range.
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
    for option, seconds in (("--grace", known.grace), ("--stall-after", known.stall_after)):
        if not 0 <= seconds <= MAX_SECONDS:
            raise SettingsError(f"{option} is from 0 to {MAX_SECONDS} seconds, got {seconds}")
    return Settings(
        listen=listen,
        grpc_listen=grpc_listen,
        token=token,
        tls=tls,
        roles=known.roles,
        lifeline=known.lifeline == "stdin",
        engine_class=known.engine_class,
        grace=known.grace,
        stall_after=known.stall_after,
        max_calls=known.max_calls,
        token_path=known.token_path,
        nice=known.nice,
        log_level=known.log_level,
    )


def parser() -> argparse.ArgumentParser:
    """The parser of the command line; its help is the manual of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m python_worker",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_addresses(parser.add_argument_group("where it listens"))
    _add_security(parser.add_argument_group("who is let in"))
    _add_engines(parser.add_argument_group("engines and calls"))
    _add_process(parser.add_argument_group("the process"))
    return parser


def _add_addresses(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--listen",
        action="append",
        required=True,
        metavar="ADDRESS",
        help="where sessions of the Elixir client are opened: unix:PATH or tcp:HOST:PORT (port 0 "
        "picks a free one), which is tls://HOST:PORT with --tls-cert; required, may be given more "
        "than once",
    )
    group.add_argument(
        "--grpc-listen",
        action="append",
        metavar="ADDRESS",
        help="where gRPC is served (health, reflection, Call, Stream, Session), in the same form; "
        "may be given more than once. Default: beside each address of --listen, at PATH.grpc or "
        f"the next port. `{NO_GRPC}` turns gRPC off",
    )


def _add_security(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tls-cert",
        default="",
        metavar="FILE",
        help="the worker's certificate in PEM, with those between it and its CA. Every network "
        "address then takes TLS only; Unix sockets stay as they are. Changed files are read again. Default: no TLS",
    )
    group.add_argument(
        "--tls-key",
        default="",
        metavar="FILE",
        help="the key of --tls-cert in PEM, not encrypted; required with --tls-cert",
    )
    group.add_argument(
        "--tls-client-ca",
        default="",
        metavar="FILE",
        help="the CAs in PEM whose certificates clients must present; such a client needs no token "
        f"unless {TOKEN_VARIABLE} is set. Default: none are asked for",
    )
    group.add_argument(
        "--roles",
        default="",
        metavar="FILE",
        help="roles in TOML, which limit what clients may do by their token or certificate. Default: "
        "everything is allowed",
    )


def _add_engines(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--max-calls",
        type=int,
        default=Settings.max_calls,
        metavar="COUNT",
        help="how many calls run at once, streams included; more are refused as overloaded. "
        "Methods that report on requests or end them are not counted (default: %(default)s)",
    )
    group.add_argument(
        "--stall-after",
        type=float,
        default=Settings.stall_after,
        metavar="SECONDS",
        help="how long an engine with requests may make no output until it counts as hanging; "
        "0 for no limit (default: %(default)s)",
    )
    group.add_argument(
        "--token-path",
        choices=get_args(TokenPathSetting),
        default=Settings.token_path,
        help="`auto` takes tokens directly from vLLM's request states if the sources of this vLLM "
        "are known; `outputs` has vLLM make every output, which is slower and brings the same "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--engine-class",
        metavar="MODULE:CLASS",
        help="a class to serve in place of vLLM's AsyncLLM, for tests; python_worker.testing."
        "fake_engine:FakeAsyncLLM needs no vLLM",
    )


def _add_process(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--grace",
        type=float,
        default=Settings.grace,
        metavar="SECONDS",
        help="how long calls in flight may go on after SIGTERM; new calls are refused meanwhile. "
        "Shutting the engines down may take 10 s more (default: %(default)s)",
    )
    group.add_argument(
        "--lifeline",
        choices=["stdin", "none"],
        default="none",
        help="`stdin` ends the worker, and every process of its engines, when its standard input "
        "ends (default: %(default)s)",
    )
    group.add_argument(
        "--nice",
        type=int,
        default=Settings.nice,
        metavar="VALUE",
        help="the nice value of the worker's session where Linux divides the CPU among sessions "
        f"(autogroup), 0 to {MAX_NICE}; higher gives other sessions more, 0 changes nothing "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--log-level",
        type=str.upper,
        choices=LOG_LEVELS,
        default=Settings.log_level,
        metavar="LEVEL",
        help="the least level of the worker's own log, which goes to stderr: "
        f"{', '.join(LOG_LEVELS)} (default: %(default)s). VLLM_LOGGING_LEVEL is vLLM's",
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
