"""A client and the server's half of TLS in one process, with every byte between them in hand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from python_worker.wire.tls import TlsConnection, TlsTransport
from tests.python.support.certificates import Authority, Pair

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def server_context(pair: Pair, client_ca: Path | None = None) -> ssl.SSLContext:
    """As a listener has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.num_tickets = 0
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    authority: Authority, pair: Pair | None = None, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """As a client has it that knows the CA, with its own certificate if it has one."""
    context = ssl.create_default_context(cafile=str(authority.cert))
    context.set_alpn_protocols(["h2"])
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


class Wire(asyncio.Transport):
    """The transport of the server's socket: what is sent lies here until the client takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = self.aborted = self.ended = self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "nothing is written behind the end"
        self.sent += data

    def take(self) -> bytes:
        """What was sent since the last time."""
        taken, self.sent = bytes(self.sent), bytearray()
        return taken

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Inner(asyncio.Protocol):
    """What is above TLS: keeps what comes."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.calls: list[str] = []
        self.transport: TlsTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(TlsTransport, transport)
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append("lost")


class Pairing:
    """Both ends of one connection.

    Args:
        server: The server's context.
        client: The client's.
        cuts: Where what passes is cut, in both directions: the sizes of the pieces, by turns.
    """

    def __init__(
        self,
        server: ssl.SSLContext,
        client: ssl.SSLContext,
        *,
        name: str = "localhost",
        cuts: Sequence[int] = (),
    ) -> None:
        self.wire, self.inner = Wire(), Inner()
        self.plain: list[bytes] = []
        self.refused: list[tuple[Exception, bytes]] = []
        self.server = TlsConnection(
            server, lambda: self.inner, plain=self._answer_plain, refused=self._refuse
        )
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._cuts = list(cuts)
        self.server.connection_made(self.wire)

    def _answer_plain(self, _: asyncio.Transport, data: bytes) -> None:
        self.plain.append(data)

    def _refuse(self, transport: asyncio.Transport, error: Exception, alert: bytes) -> None:
        self.refused.append((error, alert))
        transport.write(alert)

    def pieces(self, data: bytes) -> Iterable[bytes]:
        """Data in the pieces that it arrives in."""
        while data:
            size = self._cuts[0] if self._cuts else len(data)
            self._cuts = self._cuts[1:] + self._cuts[:1]
            yield data[:size]
            data = data[size:]

    def pass_on(self) -> None:
        """Everything that either end has sent reaches the other, until nobody sends more."""
        while (ours := self._outgoing.read()) or self.wire.sent:
            for piece in self.pieces(ours):
                self.server.data_received(piece)
            for piece in self.pieces(self.wire.take()):
                self._incoming.write(piece)
            if not self.shaken:
                self.shake()

    @property
    def shaken(self) -> bool:
        """Whether the client's handshake is done."""
        return self.client.version() is not None and self._done

    _done = False

    def shake(self) -> None:
        """The client's next step of the handshake."""
        try:
            self.client.do_handshake()
            self._done = True
        except ssl.SSLWantReadError:
            pass

    def connect(self) -> None:
        """Shakes hands; raises what the client finds wrong."""
        self.shake()
        self.pass_on()

    def connect_and_hear(self) -> bytes:
        """Shakes hands and reads: a client of TLS 1.3 hears only then that it is refused."""
        self.connect()
        return self.hear()

    def from_client(self) -> bytes:
        """What the client has sent and has not arrived."""
        return self._outgoing.read()

    def say(self, data: bytes) -> None:
        """The client sends data, and it arrives."""
        self.client.write(data)
        self.pass_on()

    def hear(self) -> bytes:
        """What the client can read of what was sent to it."""
        self.pass_on()
        heard = bytearray()
        while True:
            try:
                part: Any = self.client.read(1 << 20)
            except ssl.SSLWantReadError:
                return bytes(heard)
            if not part:
                return bytes(heard)
            heard += part
