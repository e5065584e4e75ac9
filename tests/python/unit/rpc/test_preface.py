"""A new connection at the sessions' listener: who is handed over, and who is refused how."""

from __future__ import annotations

import asyncio
import struct

import pytest

from python_worker.rpc import preface
from python_worker.rpc.preface import TLS_ALERT, NewConnection, advice, refusal
from tests.python.support.native import (
    GOAWAY,
    PREFACE,
    SETTINGS,
    headers,
    http2_frame,
    settings,
)

ON_UVLOOP = True

GRPC_ADDRESS = "unix:/run/grpc"

OTHERS: dict[str, tuple[bytes, str]] = {
    "a request of HTTP/1": (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1"),
    "a method that begins as HTTP/2 does": (b"POST / HTTP/1.1\r\n\r\n", "HTTP/1"),
    "a preface of HTTP/1": (b"PRI * HTTP/1.1\r\n\r\n", "HTTP/1"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS, which is not served here"),
    "another preface": (PREFACE.replace(b"SM", b"SN"), "HTTP/1"),
    "settings without a preface": (settings(), "no HTTP/2"),
    "letters without a space": (b"X" * 17, "no HTTP/2"),
    "bytes": (bytes(range(200, 256)), "no HTTP/2"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_client_that_speaks_no_http_2_is_refused(name: str) -> None:
    received, protocol = OTHERS[name]
    refused = refusal(received, GRPC_ADDRESS)
    assert refused is not None
    assert refused.protocol == protocol


@pytest.mark.parametrize("name", OTHERS)
def test_wherever_it_is_cut_it_is_refused_at_the_first_byte_that_differs(name: str) -> None:
    received, _ = OTHERS[name]
    for end in range(len(received) + 1):
        is_cut_preface = received[:end] == PREFACE[:end]
        assert (refusal(received[:end], GRPC_ADDRESS) is None) == is_cut_preface


def test_the_preface_and_what_follows_it_is_never_refused() -> None:
    received = PREFACE + settings() + headers("Session")
    assert {refusal(received[:end], GRPC_ADDRESS) for end in range(len(received) + 1)} == {None}


def test_http_1_is_answered_with_the_address_of_grpc() -> None:
    refused = refusal(b"GET / HTTP/1.1\r\n\r\n", GRPC_ADDRESS)
    assert refused is not None
    head, _, body = refused.answer.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 505 ")
    assert f"content-length: {len(body)}" in head
    assert "connection: close" in head
    assert f"gRPC is served at {GRPC_ADDRESS}: use that address" in body


def test_tls_is_answered_with_a_fatal_alert() -> None:
    refused = refusal(b"\x16\x03\x01", GRPC_ADDRESS)
    assert refused is not None
    kind, version, length, level, description = struct.unpack(">BHHBB", refused.answer)
    assert refused.answer == TLS_ALERT
    assert (kind, version, length) == (21, 0x0303, 2)
    assert (level, description) == (2, 10), "fatal, unexpected_message"


def test_anything_else_is_answered_with_a_goaway() -> None:
    refused = refusal(b"\xff", GRPC_ADDRESS)
    assert refused is not None
    reason = f"no preface of HTTP/2; {advice(GRPC_ADDRESS)}".encode()
    payload = struct.pack(">II", 0, 1) + reason  # PROTOCOL_ERROR
    assert refused.answer == http2_frame(SETTINGS, 0, 0, b"") + http2_frame(GOAWAY, 0, 0, payload)


def test_without_grpc_the_setting_is_named_that_turns_it_on() -> None:
    assert advice("") == (
        "this address serves sessions only, and this worker serves no gRPC: start it with "
        "--grpc-listen ADDRESS"
    )


# --- The connection ------------------------------------------------------------------


class Session(asyncio.Protocol):
    """Stands for the protocol of a session."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self.transport is None, "only once"
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.received += data


class Transport(asyncio.Transport):
    """A connection that delivers what the test says."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.closed = self.ended = False
        self.written = b""
        protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        assert isinstance(self.protocol, asyncio.Protocol)
        self.protocol.data_received(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


async def test_a_session_gets_all_behind_the_preface_wherever_it_is_cut() -> None:
    received = PREFACE + settings((3, 1)) + headers("Session") + b"and more"
    for end in range(len(received) + 1):
        sessions: list[Session] = []

        def session(sessions: list[Session] = sessions) -> Session:
            sessions.append(Session())
            return sessions[-1]

        transport = Transport(NewConnection(session, GRPC_ADDRESS))
        transport.deliver(received[:end])
        transport.deliver(received[end:])
        (made,) = sessions
        assert transport.protocol is made
        assert made.transport is transport
        assert made.received == received[len(PREFACE) :]
        assert not transport.closed
        assert not transport.written


async def timer(seconds: float) -> None:
    """Returns when a timer has run that was set after all that are to run by then."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, done.set_result, None)
    await done


async def test_a_refused_client_is_answered_once_and_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(preface, "LINGER_SECONDS", 0.01)
    transport = Transport(NewConnection(Session, GRPC_ADDRESS))
    transport.deliver(b"GET / HTTP/1.1\r\n")
    answer = transport.written
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert transport.ended
    assert not transport.closed, "it may read the answer first"
    transport.deliver(b"host: x\r\n\r\n")
    assert transport.written == answer
    assert "its client speaks HTTP/1; " + advice(GRPC_ADDRESS) in caplog.text
    await timer(0.01)
    assert transport.closed


@pytest.mark.parametrize("received", [b"", PREFACE[:-1]])
async def test_a_connection_without_a_preface_is_closed_when_its_time_is_up(
    received: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(preface, "PREFACE_SECONDS", 0.02)
    transport = Transport(NewConnection(Session, GRPC_ADDRESS))
    transport.deliver(received)
    assert not transport.closed
    await timer(0.02)
    assert transport.closed
    assert "sent nothing that begins a session" in caplog.text


async def test_a_connection_that_was_handed_over_is_not_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preface, "PREFACE_SECONDS", 0.01)
    transport = Transport(NewConnection(Session, GRPC_ADDRESS))
    transport.deliver(PREFACE)
    await timer(0.02)
    assert not transport.closed


async def test_nobody_waits_for_a_client_that_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preface, "PREFACE_SECONDS", 0.01)
    connection = NewConnection(Session, GRPC_ADDRESS)
    transport = Transport(connection)
    transport.deliver(PREFACE[:3])
    connection.connection_lost(None)
    await timer(0.02)
    assert not transport.closed
