"""What a worker is told at its start, as one frozen dataclass. `command_line` reads it.

Secrets come from the environment, because a command line can be read by every user of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TOKEN_VARIABLE = "VLLM_BRIDGE_TOKEN"

# A token that opens the metrics and nothing else.
METRICS_TOKEN_VARIABLE = "VLLM_BRIDGE_METRICS_TOKEN"

# sun_path of sockaddr_un holds 108 bytes with its closing zero.
MAX_SOCKET_PATH_BYTES = 107

TokenPathSetting = Literal["auto", "outputs"]

LogFormat = Literal["text", "json"]


class SettingsError(ValueError):
    """The command line asks for something that cannot be had."""


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
        tls_cert: The file of the worker's certificate; empty for no TLS. With it every network
            address takes TLS only.
        tls_key: The file of its key.
        tls_client_ca: The file of the CAs whose certificates clients must present.
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
        log_format: ``text``, or ``json`` for one JSON object a line, of vLLM's logs too.
        metrics_listen: Addresses where ``/metrics`` is served over HTTP.
        metrics_token: What clients of ``/metrics`` may present in place of the token.
        otlp_endpoint: The URL of an OpenTelemetry collector, for spans of calls; None for none.
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
    log_format: LogFormat = "text"
    metrics_listen: tuple[str, ...] = ()
    metrics_token: str = ""
    otlp_endpoint: str | None = None

    @property
    def tls(self) -> TlsFiles | None:
        """The files of TLS; None without TLS."""
        if not self.tls_cert:
            return None
        return TlsFiles(self.tls_cert, self.tls_key, self.tls_client_ca)
