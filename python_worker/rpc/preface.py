"""A new connection at the sessions' listener, until its client has begun to speak HTTP/2.

The preface of HTTP/2 tells at the first byte that differs whether a client is at the
right place. One that is gets a session's protocol, which sees nothing of the preface.
Any other is answered in its own protocol, as far as that is known, with where to go.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import NamedTuple, cast

from python_worker.wire.http2_frames import (
    GOAWAY,
    PREFACE,
    SETTINGS,
    WORD,
    Code,
    frame_head,
)

logger = logging.getLogger(__name__)

# Connections that send no preface in this time are closed. gRPC gives its clients 120 s.
PREFACE_SECONDS = 120.0

# How long a client that is refused has to read the reason and to close.
LINGER_SECONDS = 5.0

# A method of HTTP/1, which may be cut. The preface of HTTP/2 looks like one: it is tried first.
HTTP1_METHOD = re.compile(rb"[A-Z]{1,16}( |\Z)")

# The type of a TLS record that holds a handshake.
TLS_HANDSHAKE = b"\x16"

# A record of TLS 1.2 with an alert of two bytes: fatal, unexpected_message. No server that takes
# TLS answers a client's first message so: the Elixir client knows by it that there is none here.
TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x0a"


class Refusal(NamedTuple):
    """What a client gets that does not speak HTTP/2 here.

    Attributes:
        protocol: What it speaks, for the log.
        answer: What it is sent.
    """

    protocol: str
    answer: bytes


def advice(grpc_address: str) -> str:
    """Says what a sessions' listener is, and where everything else is served."""
    if not grpc_address:
        return (
            "this address serves sessions only, and this worker serves no gRPC: start it with "
            "--grpc-listen ADDRESS"
        )
    return f"this address serves sessions only; gRPC is served at {grpc_address}: use that address"


def refusal(received: bytes, grpc_address: str) -> Refusal | None:
    """How to refuse a client, by its first bytes; None while they are those of HTTP/2."""
    if PREFACE.startswith(received[: len(PREFACE)]):
        return None
    said = advice(grpc_address)
    if received.startswith(TLS_HANDSHAKE):
        return Refusal("TLS, which is not served here", TLS_ALERT)
    if HTTP1_METHOD.match(received):
        return Refusal("HTTP/1", http1_answer(said))
    return Refusal("no HTTP/2", goaway(f"no preface of HTTP/2; {said}"))


def http1_answer(said: str) -> bytes:
    """A response of HTTP/1 that says where to go, in plain text."""
    body = f"{said}\n".encode()
    head = (
        "HTTP/1.1 505 HTTP Version Not Supported\r\n"
        "content-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body


def goaway(reason: str) -> bytes:
    """What a server of HTTP/2 sends that refuses a connection: settings, then GOAWAY."""
    payload = WORD.pack(0) + WORD.pack(Code.PROTOCOL_ERROR) + reason.encode()
    return frame_head(0, SETTINGS, 0, 0) + frame_head(len(payload), GOAWAY, 0, 0) + payload


def end_with(transport: asyncio.Transport, answer: bytes) -> None:
    """Send a last answer, and close the connection when the client has, or soon."""
    transport.write(answer)
    # Closed at once, TCP would throw away what the client has not read.
    if transport.can_write_eof():
        transport.write_eof()
    asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)


class NewConnection(asyncio.Protocol):
    """A connection whose client has not sent the preface of HTTP/2 yet.

    Args:
        session: Makes the protocol of a client that speaks HTTP/2.
        grpc_address: Where gRPC is served; empty for nowhere.
    """

    def __init__(self, session: Callable[[], asyncio.Protocol], grpc_address: str) -> None:
        self._session = session
        self._grpc_address = grpc_address
        self._received = b""
        self._refused = False
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the preface."""
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PREFACE_SECONDS, self._expire)

    def data_received(self, data: bytes) -> None:
        """Hand the connection over when the preface has come whole, or refuse it."""
        if self._refused:
            return
        received = self._received = self._received + data
        refused = refusal(received, self._grpc_address)
        if refused is not None:
            self._refuse(refused)
        elif len(received) >= len(PREFACE):
            self._hand_over(received[len(PREFACE) :])

    def connection_lost(self, error: Exception | None) -> None:
        """The client left before it had said anything that is known here."""
        self._timer.cancel()

    def _hand_over(self, rest: bytes) -> None:
        self._timer.cancel()
        protocol = self._session()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if rest:
            protocol.data_received(rest)

    def _refuse(self, refused: Refusal) -> None:
        self._refused = True
        self._timer.cancel()
        logger.warning(
            "closed a connection at the sessions' listener: its client speaks %s; %s",
            refused.protocol,
            advice(self._grpc_address),
        )
        end_with(self._transport, refused.answer)

    def _expire(self) -> None:
        logger.warning(
            "closed a connection at the sessions' listener: its client sent nothing that "
            "begins a session in %.0f s",
            PREFACE_SECONDS,
        )
        self._transport.close()
