"""What clients are told, and the log says, that are not let through to the sessions' listener."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from python_worker.rpc import tls_clients
from python_worker.rpc.certificates import Certificates
from python_worker.rpc.roles import Peer
from python_worker.settings import TlsFiles
from tests.python.support.certificates import Authority
from tests.python.support.tls import Inner, Wire, client_context


class Server:
    """A listener's connections, each with a socket that the test holds."""

    def __init__(self, folder: Path, *, mutual: bool = False) -> None:
        self.ca = Authority(folder)
        pair = self.ca.issue("server", "localhost")
        client_ca = str(self.ca.cert) if mutual else ""
        certificates = Certificates(TlsFiles(str(pair.cert), str(pair.key), client_ca))
        self.inner = Inner()
        self._make = tls_clients.connection(certificates, lambda: self.inner)

    def receive(self, data: bytes) -> Wire:
        """A new connection on which this comes."""
        wire, protocol = Wire(), self._make()
        protocol.connection_made(wire)
        protocol.data_received(data)
        return wire


@pytest.mark.parametrize(
    ("received", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 505 "),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00\x00\x00\x04\x00"),
        (b"P", b"\x00\x00\x00\x04\x00"),
        (b"\x00", b"\x00\x00\x00\x04\x00"),
    ],
)
async def test_a_client_without_tls_is_told_that_it_is_needed(
    received: bytes, answer: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Server(tmp_path).receive(received)
    assert wire.sent.startswith(answer)
    assert b"this address takes TLS only" in wire.sent
    assert wire.ended
    assert "this address takes TLS only" in caplog.text


async def test_who_breaks_tls_gets_an_alert_and_an_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Server(tmp_path).receive(b"\x16\x03\x01\x00\x05\xff\x00\x00\x01\x00")
    assert wire.sent.startswith(b"\x15\x03")
    assert wire.ended
    assert "refused a client at the sessions' listener in its TLS handshake (from unknown)" in (
        caplog.text
    )


def verification_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("x")
    error.verify_message = "certificate has expired"
    return error


def ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError("x")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (verification_error(), "its certificate is refused: certificate has expired"),
        (ssl_error("PEER_DID_NOT_RETURN_A_CERTIFICATE"), "it has presented no certificate"),
        (ssl_error("SOMETHING_NEW"), "something new"),
        (ssl_error(""), "it broke TLS"),
        (TimeoutError("no whole handshake in 30 s"), "no whole handshake in 30 s"),
    ],
)
def test_the_log_says_why_in_words(error: Exception, words: str) -> None:
    assert tls_clients.why(error) == words


def test_a_unix_socket_is_local() -> None:
    ends = socket.socketpair()
    wire = Wire()
    wire._extra = {"socket": ends[0]}  # type: ignore[attr-defined]
    assert tls_clients.peer_of(wire) == Peer(local=True)
    assert tls_clients.peer_of(Wire()) == Peer()
    for end in ends:
        end.close()


async def test_a_certificate_names_its_client(tmp_path: Path) -> None:
    from tests.python.support.tls import Pairing, server_context

    ca = Authority(tmp_path)
    pair = ca.issue("client", "web.test")
    server = server_context(ca.issue("server", "localhost"), ca.cert)
    both = Pairing(server, client_context(ca, pair))
    both.connect()
    names = frozenset({"client", "web.test"})
    assert tls_clients.peer_of(both.inner.transport) == Peer(names=names, certified=True)
