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
from urllib.parse import urlsplit

from python_worker import settings_sources
from python_worker.settings_sources import SourceError

TOKEN_VARIABLE = "VLLM_BRIDGE_TOKEN"

# A token that opens the metrics and nothing else.
METRICS_TOKEN_VARIABLE = "VLLM_BRIDGE_METRICS_TOKEN"

# sun_path of sockaddr_un holds 108 bytes with its closing zero.
MAX_SOCKET_PATH_BYTES = 107

TokenPathSetting = Literal["auto", "outputs"]

LogFormat = Literal["text", "json"]

# Fields that neither a file nor the environment sets: secrets have variables of their own, and who
# starts a worker holds its stdin or does not.
COMMAND_LINE_ONLY = frozenset({"lifeline", "metrics_token", "token"})

MAX_PORT = 65_535

# Less than 0 would need privileges, and would have the client wait.
MAX_NICE = 19

# What `--grpc-listen` takes in place of an address.
NO_GRPC = "none"


@dataclass(frozen=True)
class Settings:
    """What a worker is told at its start.

    Attributes:
        listen: Addresses for sessions, each ``unix:PATH`` or ``tcp:HOST:PORT``
            (port 0 picks a free one).
        grpc_listen: Addresses for gRPC, in the same form; none turns gRPC off.
        token: What clients must present; empty for none, which TCP refuses.
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
        log_format: ``text``, or ``json`` for one JSON object a line, of vLLM's logs too.
        metrics_listen: Addresses where ``/metrics`` is served over HTTP.
        metrics_token: What clients of ``/metrics`` may present in place of the token.
        otlp_endpoint: The URL of an OpenTelemetry collector, for spans of calls; None for none.
    """

    listen: tuple[str, ...]
    grpc_listen: tuple[str, ...] = ()
    token: str = ""
    lifeline: bool = False
    engine_class: str | None = None
    grace: float = 5.0
    stall_after: float = 120.0
    max_calls: int = 10_000
    token_path: TokenPathSetting = "auto"
    nice: int = 10
    log_level: str = "INFO"
    log_format: LogFormat = "text"
    metrics_listen: tuple[str, ...] = ()
    metrics_token: str = ""
    otlp_endpoint: str | None = None


class SettingsError(ValueError):
    """The command line asks for something that cannot be had."""


def parse(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the command line, and below it the environment and a file (``settings_sources``).

    Raises:
        SettingsError: An address has no known form, its path is too long for a
            socket, TCP is asked for without a token, an address is named twice,
            no call may run, or the nice value is out of its range.
    """
    try:
        known = settings_sources.parse(parser(), argv, environ, Settings, COMMAND_LINE_ONLY)
    except SourceError as error:
        raise SettingsError(str(error)) from error
    token = environ.get(TOKEN_VARIABLE, "")
    metrics_token = environ.get(METRICS_TOKEN_VARIABLE, "")
    for address in known.listen:
        check_address(address, token=token)
    grpc_listen = grpc_addresses(known.listen, known.grpc_listen, token=token)
    metrics_listen = known.metrics_listen or ()
    for address in metrics_listen:
        check_address(address, token=token or metrics_token)
    check_distinct([*known.listen, *grpc_listen, *metrics_listen])
    check_endpoint(known.otlp_endpoint)
    if known.max_calls < 1:
        raise SettingsError(f"--max-calls is at least 1, got {known.max_calls}")
    if not 0 <= known.nice <= MAX_NICE:
        raise SettingsError(f"--nice is from 0 to {MAX_NICE}, got {known.nice}")
    return Settings(
        listen=tuple(known.listen),
        grpc_listen=grpc_listen,
        token=token,
        lifeline=known.lifeline == "stdin",
        engine_class=known.engine_class,
        grace=known.grace,
        stall_after=known.stall_after,
        max_calls=known.max_calls,
        token_path=known.token_path,
        nice=known.nice,
        log_level=known.log_level.upper(),
        log_format=known.log_format,
        metrics_listen=tuple(metrics_listen),
        metrics_token=metrics_token,
        otlp_endpoint=known.otlp_endpoint,
    )


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog="python_worker", description=__doc__)
    parser.add_argument(
        "--listen",
        action="append",
        required=True,
        metavar="ADDRESS",
        help="where sessions of the Elixir client are opened: unix:PATH or tcp:HOST:PORT; "
        "may be given more than once",
    )
    parser.add_argument(
        "--grpc-listen",
        action="append",
        metavar="ADDRESS",
        help="where gRPC is served (health, reflection, Call, Stream, Session); may be given "
        "more than once. Without it, beside each address of --listen: PATH.grpc, or the next "
        f"port. `{NO_GRPC}` turns gRPC off",
    )
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
    _add_operations(parser.add_argument_group("operation"))
    return parser


def _add_operations(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--config",
        metavar="FILE",
        help="a TOML, YAML or JSON file of settings, named as the options are, with underscores: "
        f"`grpc_listen`. Variables such as {settings_sources.PREFIX}GRPC_LISTEN go before it, and "
        "options before both",
    )
    group.add_argument(
        "--metrics-listen",
        action="append",
        metavar="ADDRESS",
        help="where Prometheus gets /metrics over HTTP: unix:PATH or tcp:HOST:PORT; may be given "
        "more than once. Over TCP it presents the token, or the one in "
        f"{METRICS_TOKEN_VARIABLE}, which opens nothing else",
    )
    group.add_argument(
        "--otlp-endpoint",
        metavar="URL",
        help="a collector of OpenTelemetry, such as http://localhost:4317, that gets a span of "
        "each call; OTEL_EXPORTER_OTLP_TRACES_PROTOCOL says how: grpc or http/protobuf",
    )
    group.add_argument(
        "--log-format",
        choices=get_args(LogFormat),
        default=Settings.log_format,
        help="`json` writes one JSON object a line, of vLLM's logs too (default: %(default)s)",
    )


def grpc_addresses(
    listen: Sequence[str], given: Sequence[str] | None, *, token: str
) -> tuple[str, ...]:
    """Where gRPC is served: as given, or beside each address of the sessions.

    Raises:
        SettingsError: It cannot be served there.
    """
    if given is None:
        return tuple(beside(address, token=token) for address in listen)
    if NO_GRPC in given:
        if len(given) > 1:
            raise SettingsError(f"--grpc-listen {NO_GRPC} excludes any other --grpc-listen")
        return ()
    for address in given:
        check_address(address, token=token)
    return tuple(given)


def beside(address: str, *, token: str) -> str:
    """The address of gRPC that belongs to an address of sessions.

    Raises:
        SettingsError: Nothing can listen there.
    """
    scheme, _, rest = address.partition(":")
    host, _, port = rest.rpartition(":")
    if scheme == "unix":
        derived = f"{address}.grpc"
    else:
        derived = f"tcp:{host}:{int(port) + 1 if int(port) else 0}"
    try:
        check_address(derived, token=token)
    except SettingsError as error:
        raise SettingsError(
            f"gRPC cannot be served beside {address}: {error}; give gRPC an address with "
            f"--grpc-listen, or turn it off with --grpc-listen {NO_GRPC}"
        ) from error
    return derived


def check_address(address: str, *, token: str) -> None:
    """Refuse an address that cannot be listened at, or may not be.

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
    elif scheme == "tcp" and port.isascii() and port.isdigit():
        if int(port) > MAX_PORT:
            raise SettingsError(f"{address} has a port above {MAX_PORT}")
        if not token:
            raise SettingsError(
                f"{address} would let anyone on the network in: "
                f"set {TOKEN_VARIABLE}, or listen on a Unix socket"
            )
    else:
        raise SettingsError(f"{address!r} is neither unix:PATH nor tcp:HOST:PORT")


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
        port_is_free = address.startswith("tcp:") and address.endswith(":0")
        if address in addresses[:place] and not port_is_free:
            raise SettingsError(
                f"{address} is to be listened at twice, for sessions (--listen), for metrics "
                "(--metrics-listen) or for gRPC (--grpc-listen; by default beside each address "
                "of --listen)"
            )
