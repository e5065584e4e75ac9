"""The worker's command line: its options, and the settings that they make.

Each setting may also come from the environment or a file (`settings_sources`).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import get_args

from python_worker import settings_sources
from python_worker.settings import (
    METRICS_TOKEN_VARIABLE,
    TOKEN_VARIABLE,
    LogFormat,
    Settings,
    SettingsError,
    TokenPathSetting,
)
from python_worker.settings_addresses import (
    NO_GRPC,
    check_address,
    check_distinct,
    check_endpoint,
    grpc_addresses,
    with_tls,
)
from python_worker.settings_sources import SourceError

# Fields that neither a file nor the environment sets: secrets have variables of their own, and who
# starts a worker holds its stdin or does not.
COMMAND_LINE_ONLY = frozenset({"lifeline", "metrics_token", "token"})

# Less than 0 would need privileges, and would have the client wait.
MAX_NICE = 19

# A year. Timers of threads take no longer than some hundred years.
MAX_SECONDS = 365 * 24 * 3600

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
  VLLM_BRIDGE_METRICS_TOKEN
                       a token that opens --metrics-listen and nothing else
  CUDA_VISIBLE_DEVICES, VLLM_*, HF_*
                       as vLLM documents them. Without a GPU:
  VLLM_CPU_KVCACHE_SPACE
                       GiB for the KV cache of each engine; vLLM's default is
                       nine tenths of the memory
  TMPDIR               where the folder of vLLM's sockets is made

output:
  When it serves, it prints one line to stdout: VLLM_BRIDGE READY and a JSON
  object with `address`, `pid`, `incarnation`, `grpc_address` and
  `metrics_addresses`, those that there are. Everything else goes to stderr.

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


def parse(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the command line, and below it the environment and a file.

    Raises:
        SettingsError: An address has no known form, its path is too long for a
            socket, TCP is asked for without a token, TLS without its files, an
            address is named twice, no call may run, or a number is out of its
            range.
    """
    try:
        known = settings_sources.parse(parser(), argv, environ, Settings, COMMAND_LINE_ONLY)
    except SourceError as error:
        raise SettingsError(str(error)) from error
    token = environ.get(TOKEN_VARIABLE, "")
    metrics_token = environ.get(METRICS_TOKEN_VARIABLE, "")
    _check_tls(known)
    tls = bool(known.tls_cert)
    guarded = bool(token or known.roles or known.tls_client_ca)
    listen = tuple(with_tls(address, tls=tls) for address in known.listen)
    for address in listen:
        check_address(address, guarded=guarded)
    given = known.grpc_listen and [with_tls(address, tls=tls) for address in known.grpc_listen]
    grpc_listen = grpc_addresses(listen, given, guarded=guarded)
    metrics_listen = tuple(known.metrics_listen or ())
    for address in metrics_listen:
        check_address(address, guarded=bool(token or metrics_token))
    check_distinct([*listen, *grpc_listen, *metrics_listen])
    check_endpoint(known.otlp_endpoint)
    _check_numbers(known)
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
        log_level=known.log_level,
        log_format=known.log_format,
        metrics_listen=metrics_listen,
        metrics_token=metrics_token,
        otlp_endpoint=known.otlp_endpoint,
    )


def _check_tls(known: argparse.Namespace) -> None:
    if (known.tls_cert or known.tls_key or known.tls_client_ca) and not (
        known.tls_cert and known.tls_key
    ):
        raise SettingsError("TLS needs both --tls-cert and --tls-key")


def _check_numbers(known: argparse.Namespace) -> None:
    if known.max_calls < 1:
        raise SettingsError(f"--max-calls is at least 1, got {known.max_calls}")
    if not 0 <= known.nice <= MAX_NICE:
        raise SettingsError(f"--nice is from 0 to {MAX_NICE}, got {known.nice}")
    for option, seconds in (("--grace", known.grace), ("--stall-after", known.stall_after)):
        if not 0 <= seconds <= MAX_SECONDS:
            raise SettingsError(f"{option} is from 0 to {MAX_SECONDS} seconds, got {seconds}")


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
    _add_operation(parser.add_argument_group("operation"))
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
        "address then takes TLS only; Unix sockets stay as they are. Changed files are read again. "
        "Default: no TLS",
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
        help="roles in TOML, which limit what clients may do by their token or certificate. "
        "Default: everything is allowed",
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


def _add_operation(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--config",
        metavar="FILE",
        help="a TOML, YAML or JSON file of settings, named as the options are, with underscores: "
        f"`grpc_listen`. Variables such as {settings_sources.PREFIX}GRPC_LISTEN go before it, and "
        "options before both. Default: none",
    )
    group.add_argument(
        "--metrics-listen",
        action="append",
        metavar="ADDRESS",
        help="where Prometheus gets /metrics over HTTP: unix:PATH or tcp:HOST:PORT; may be given "
        "more than once. Over TCP it presents the token, or the one in "
        f"{METRICS_TOKEN_VARIABLE}, which opens nothing else. Default: nowhere",
    )
    group.add_argument(
        "--otlp-endpoint",
        metavar="URL",
        help="a collector of OpenTelemetry, such as http://localhost:4317, that gets a span of "
        "each call; OTEL_EXPORTER_OTLP_TRACES_PROTOCOL says how: grpc or http/protobuf. "
        "Default: no spans",
    )
    group.add_argument(
        "--log-format",
        choices=get_args(LogFormat),
        default=Settings.log_format,
        help="`json` writes one JSON object a line, of vLLM's logs too (default: %(default)s)",
    )
