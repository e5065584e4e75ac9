"""The server's side of TLS on one connection, above the event loop's own transport.

The loop's TLS is not used for three reasons. It ends a refused handshake without sending the alert
that tells the client why. It takes one context for as long as it listens, where certificates are to
be read again. And it cannot answer a client that speaks no TLS. The protocol itself is OpenSSL's
(``ssl.MemoryBIO``); here bytes go in and come out.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, cast

from python_worker.buffers import Buffer

# Connections whose handshake has not ended in this time are closed.
HANDSHAKE_SECONDS = 30.0

# The type of a TLS record that holds a handshake, with which every client begins.
HANDSHAKE: Final = b"\x16"

# What is encrypted in one call of OpenSSL, and what is decrypted before it is handed on.
PIECE_BYTES = 256 * 1024

# Of all connections: what is in it is copied before anything else happens.
_DECRYPTED = memoryview(bytearray(PIECE_BYTES))

Connection = Callable[[], asyncio.Protocol]
"""Makes the protocol of a client whose handshake has succeeded."""

Plain = Callable[[asyncio.Transport, bytes], None]
"""Answers a client that speaks no TLS, given its first bytes, and ends the connection."""

Refused = Callable[[asyncio.Transport, Exception, bytes], None]
"""Ends a connection whose handshake has failed, given the reason and the alert to send."""


class TlsConnection(asyncio.Protocol):
    """Between the socket's transport and the protocol of what is encrypted.

    Args:
        context: Has the certificate, and says what clients must present.
        connection: Makes the protocol, which gets a transport like the socket's.
        plain: See ``Plain``.
        refused: See ``Refused``.
    """

    def __init__(
        self, context: ssl.SSLContext, connection: Connection, *, plain: Plain, refused: Refused
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._connection = connection
        self._plain, self._refused = plain, refused
        self._socket: asyncio.Transport
        self._timer: asyncio.TimerHandle
        self._transport: TlsTransport | None = None
        self._begun = self._over = False

    # -- For the socket's transport --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's handshake."""
        self._socket = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HANDSHAKE_SECONDS, self._expire)

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake, or hand on what is in the records."""
        if self._over:
            return
        if not self._begun:
            self._begun = True
            if not data.startswith(HANDSHAKE):
                self._end()
                self._plain(self._socket, data)
                return
        self._incoming.write(data)
        if self._transport is None:
            self._shake_hands()
        if self._transport is not None:
            self._transport.read()

    def eof_received(self) -> bool:
        """The client sends no more: the connection is closed, as without TLS."""
        # Who says nothing at all only looks whether somebody listens here, as load balancers do.
        if self._begun and self._transport is None and not self._over:
            self._fail(ConnectionError("the client left in the middle of the handshake"))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the protocol, if there is one yet."""
        self._end()
        if self._transport is not None:
            self._transport.get_protocol().connection_lost(error)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        if self._transport is not None:
            self._transport.get_protocol().pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        if self._transport is not None:
            self._transport.get_protocol().resume_writing()

    # -- The handshake ---------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._socket.write(self._outgoing.read())
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._timer.cancel()
            self._socket.write(self._outgoing.read())
            self._transport = TlsTransport(self._socket, self._tls, self._incoming, self._outgoing)
            protocol = self._connection()
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)

    def _fail(self, error: Exception) -> None:
        self._end()
        self._refused(self._socket, error, self._outgoing.read())

    def _expire(self) -> None:
        self._fail(TimeoutError(f"no whole handshake in {HANDSHAKE_SECONDS:.0f} s"))

    def _end(self) -> None:
        self._over = self._transport is None
        self._timer.cancel()


class TlsTransport(asyncio.Transport):
    """What the protocol of an encrypted connection writes to.

    Args:
        socket: The transport of the encrypted bytes.
        tls: The connection's TLS, whose handshake is done.
        incoming: The encrypted bytes that have come.
        outgoing: The encrypted bytes to be sent.
    """

    def __init__(
        self,
        socket: asyncio.Transport,
        tls: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        super().__init__()
        self._socket, self._tls = socket, tls
        self._incoming, self._outgoing = incoming, outgoing
        self._protocol: asyncio.Protocol
        self._reading_paused = self._said_goodbye = False

    # -- For the connection ----------------------------------------------------------------------

    def read(self) -> None:
        """Decrypt what has come and hand it on, as long as the protocol takes it."""
        while not (self._reading_paused or self._socket.is_closing()) and self._has_input():
            data, go_on = self._decrypt()
            # OpenSSL may have something to say, such as that it renegotiates nothing.
            if self._outgoing.pending:
                self._socket.write(self._outgoing.read())
            if data:
                self._protocol.data_received(data)
            if not go_on:
                break

    def _has_input(self) -> bool:
        return bool(self._incoming.pending or self._tls.pending())

    def _decrypt(self) -> tuple[bytes, bool]:
        """What can be decrypted now, and whether there may be more."""
        filled, go_on = 0, True
        try:
            while filled < PIECE_BYTES and self._has_input():
                read = self._tls.read(PIECE_BYTES - filled, cast(Any, _DECRYPTED[filled:]))
                if not read:  # the client has said that it sends no more
                    raise EOFError
                filled += cast(int, read)
        except ssl.SSLWantReadError:
            go_on = False
        except (ssl.SSLError, EOFError):
            # A record that nobody has sent like this, or the end: what was before it still counts.
            go_on = False
            asyncio.get_running_loop().call_soon(self.close)
        return bytes(_DECRYPTED[:filled]), go_on

    # -- For the protocol ------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt data and send it."""
        self.writelines([data])

    def writelines(self, parts: Iterable[Buffer | bytearray]) -> None:
        """Encrypt several parts and send them."""
        if self._said_goodbye or self._socket.is_closing():
            return
        try:
            for part in parts:
                view = memoryview(part)
                for start in range(0, len(view), PIECE_BYTES):
                    self._tls.write(view[start : start + PIECE_BYTES])
                    self._socket.write(self._outgoing.read())
        except ssl.SSLError:
            # The client has sent a fatal alert: nothing more can be sent.
            self.abort()

    def _say_goodbye(self) -> None:
        if not self._said_goodbye:
            self._said_goodbye = True
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            if not self._socket.is_closing():
                self._socket.write(self._outgoing.read())

    def can_write_eof(self) -> bool:
        """TLS says so itself that nothing more is sent."""
        return True

    def write_eof(self) -> None:
        """Say that nothing more is sent. What comes is still read."""
        self._say_goodbye()
        if self._socket.can_write_eof() and not self._socket.is_closing():
            self._socket.write_eof()

    def close(self) -> None:
        """Say that nothing more is sent, and close when all has left."""
        self._say_goodbye()
        self._socket.close()

    def abort(self) -> None:
        """Close at once."""
        self._said_goodbye = True
        self._socket.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or being closed."""
        return self._socket.is_closing()

    def pause_reading(self) -> None:
        """Hand nothing on until ``resume_reading``."""
        self._reading_paused = True
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Hand on what has come and what comes."""
        self._reading_paused = False
        self._socket.resume_reading()
        # In a turn of its own: the protocol is in the middle of something.
        asyncio.get_running_loop().call_soon(self.read)

    def get_write_buffer_size(self) -> int:
        """How many encrypted bytes wait to be sent."""
        return self._socket.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is told to pause and to resume."""
        self._socket.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes on to this protocol from now on."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.Protocol:
        """The protocol that gets what comes."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``ssl_object``, or what the socket's transport knows."""
        return self._tls if name == "ssl_object" else self._socket.get_extra_info(name, default)
