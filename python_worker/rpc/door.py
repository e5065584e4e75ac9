"""Where clients come in: one address for sessions and for every other gRPC client.

A client that wants a session says so with its first bytes: a setting of HTTP/2
that nobody else has, which servers that do not know it have to ignore. It gets a
``Connection`` of our own, because gRPC's server for Python makes a call 1.6
times as long. Every other client is connected with gRPC, byte for byte: that one
has health, reflection, ``Call`` and ``Stream``, and ``Session`` as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from python_worker.rpc.relay import Relay
from python_worker.wire.http2_frames import HEAD, PREFACE, SETTING, SETTINGS

# In the range that the registry of HTTP/2 settings leaves to experiments. `Vllm.HTTP2` sends it.
SESSION_SETTING = 0xF0B1

# More than any client's first settings.
MAX_SETTINGS_BYTES = 1024

# Who has said nothing by then is let go. gRPC gives its clients 120 s.
PATIENCE_SECONDS = 120.0


def wants_session(said: bytes) -> bool | None:
    """Whether a client's first bytes ask for a session; None while they do not tell."""
    if not said.startswith(PREFACE):
        return None if PREFACE.startswith(said) else False
    start = len(PREFACE) + HEAD.size
    if len(said) < start:
        return None
    high, low, kind, _flags, _stream = HEAD.unpack_from(said, len(PREFACE))
    length = high << 16 | low
    if kind != SETTINGS or length > MAX_SETTINGS_BYTES or length % SETTING.size:
        return False
    if len(said) < start + length:
        return None
    settings = SETTING.iter_unpack(said[start : start + length])
    return any(name == SESSION_SETTING for name, _value in settings)


class Arrival(asyncio.Protocol):
    """A client that has not yet said what it wants.

    Args:
        session: Makes the protocol of a client that wants a session.
        grpc: The path of the socket where gRPC serves.
        relays: Where the relays of other clients are as long as they last.
    """

    def __init__(
        self,
        session: Callable[[], asyncio.Protocol],
        grpc: str,
        relays: set[Relay] | None = None,
    ) -> None:
        self._session = session
        self._grpc = grpc
        self._relays = set() if relays is None else relays
        self._said = b""
        self._transport: asyncio.Transport
        self._patience: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for its first bytes."""
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(PATIENCE_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Hand it over as soon as it is known to whom."""
        self._said += data
        wanted = wants_session(self._said)
        if wanted is None:
            return
        self._patience.cancel()
        if wanted:
            protocol = self._session()
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)
            protocol.data_received(self._said[len(PREFACE) :])
        else:
            near = Relay()
            near.connection_made(self._transport)
            self._relays.add(near)
            near.gone.add_done_callback(lambda _: self._relays.discard(near))
            self._transport.set_protocol(near)
            near.reach(self._grpc, self._said)

    def connection_lost(self, error: Exception | None) -> None:
        """It left without a word that is known here."""
        self._patience.cancel()
