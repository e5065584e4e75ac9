"""TLS at the sessions' listener: who is let through, and what the others are told."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from python_worker.rpc.certificates import Certificates, names_of
from python_worker.rpc.preface import HTTP1_METHOD, end_with, goaway, http1_answer
from python_worker.rpc.roles import Peer
from python_worker.wire.http2_frames import PREFACE
from python_worker.wire.tls import TlsConnection

logger = logging.getLogger(__name__)

ADVICE = "this address takes TLS only: connect to it with TLS (`tls://HOST:PORT` in Elixir)"

# OpenSSL's reasons, in words. An alert is the client's.
REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has presented no certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the CA of this worker's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "to it, this worker's certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept this worker's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept this worker's certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it does not accept this worker's certificate, such as for "
    "its name",
    "UNSUPPORTED_PROTOCOL": "it speaks neither TLS 1.2 nor TLS 1.3",
    "NO_SHARED_CIPHER": "it knows no cipher that this worker takes",
    "NO_APPLICATION_PROTOCOL": "it does not speak HTTP/2",
}


def connection(
    certificates: Certificates, inner: Callable[[], asyncio.Protocol]
) -> Callable[[], asyncio.Protocol]:
    """What makes the protocol of a connection that begins with TLS.

    Args:
        certificates: Read again when they have changed.
        inner: Makes the protocol of what is encrypted.
    """
    return lambda: TlsConnection(certificates.context(), inner, plain=answer_plain, refused=refuse)


def refuse(transport: asyncio.Transport, error: Exception, alert: bytes) -> None:
    """End a connection whose handshake has failed, and say why on both sides."""
    logger.warning(
        "refused a client at the sessions' listener in its TLS handshake (from %s): %s",
        host_of(transport),
        why(error),
    )
    if isinstance(error, TimeoutError):
        transport.abort()
    elif not transport.is_closing():
        end_with(transport, alert)


def why(error: Exception) -> str:
    """What went wrong in a handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        if not error.reason:
            return "it broke TLS"
        reason = error.reason
        return REASONS.get(reason, reason.replace("_", " ").lower())
    return str(error)


def host_of(transport: asyncio.BaseTransport) -> str:
    """Where a client is."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else "unknown"


def answer_plain(transport: asyncio.Transport, received: bytes) -> None:
    """Tell a client that speaks no TLS that it is needed here."""
    logger.warning(
        "closed a connection at the sessions' listener (from %s): %s", host_of(transport), ADVICE
    )
    is_http1 = HTTP1_METHOD.match(received) and not PREFACE.startswith(received[: len(PREFACE)])
    end_with(transport, http1_answer(ADVICE) if is_http1 else goaway(ADVICE))


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """How the client of a transport is connected, and what its certificate says."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    end: socket.socket | None = transport.get_extra_info("socket")
    certificate = None if tls is None else tls.getpeercert()
    return Peer(
        local=end is not None and end.family == socket.AF_UNIX,
        names=names_of(certificate),
        certified=bool(certificate),
    )
