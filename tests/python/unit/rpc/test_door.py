"""Clients at the door: who they are, and to whom they are handed."""

from __future__ import annotations

import asyncio
import struct

import pytest

from python_worker.rpc import door
from python_worker.rpc.door import MAX_SETTINGS_BYTES, Arrival, wants_session
from python_worker.rpc.relay import Relay
from tests.python.support.native import (
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    SETTINGS,
    WANTS_SESSION,
    headers,
    http2_frame,
    settings,
)

ON_UVLOOP = True

# --- What a client wants ----------------------------------------------------------

FULL = [(name, 0) for name in range(1000, 1000 + MAX_SETTINGS_BYTES // 6)]

SESSIONS = {
    "the setting alone": settings(WANTS_SESSION),
    "another value": settings((0xF0B1, 0)),
    "the last of several": settings((INITIAL_WINDOW_SIZE, 1), (5, 2**24 - 1), WANTS_SESSION),
    "the first of several": settings(WANTS_SESSION, (3, 100)),
    "twice": settings(WANTS_SESSION, WANTS_SESSION),
    "the last of as many as there may be": settings(*FULL[1:], WANTS_SESSION),
}

OTHERS = {
    "no settings": settings(),
    "other settings": settings((2, 0), (3, 100), (INITIAL_WINDOW_SIZE, 2**31 - 1)),
    "its number as a value": settings((3, 0xF0B1), (4, 0xF0B1F0B1)),
    "its number across two fields": settings((0x00F0, 0xB1000000), (0, 0x0000F0B1)),
    "its number in the next frame": settings() + settings(WANTS_SESSION),
    "half a setting": http2_frame(SETTINGS, 0, 0, struct.pack(">HIH", *WANTS_SESSION, 3)),
    "too many settings": settings(*FULL, WANTS_SESSION),
    "another frame": http2_frame(PING, 0, 0, struct.pack(">HIH", *WANTS_SESSION, 3)),
    "a request": http2_frame(HEADERS, 0, 1, struct.pack(">HI", *WANTS_SESSION)),
}

STRANGERS = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "HTTP/1.1 that begins alike": b"PRI * HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "another preface": PREFACE.replace(b"SM", b"SN"),
    "the setting without the preface": settings(WANTS_SESSION),
}

FIRST_BYTES: dict[str, tuple[bytes, bool]] = {
    **{name: (PREFACE + said, True) for name, said in SESSIONS.items()},
    **{name: (PREFACE + said, False) for name, said in OTHERS.items()},
    **{name: (said, False) for name, said in STRANGERS.items()},
}


@pytest.mark.parametrize("name", FIRST_BYTES)
def test_first_bytes_tell_what_a_client_wants(name: str) -> None:
    said, wanted = FIRST_BYTES[name]
    assert wants_session(said) is wanted
    assert wants_session(said + headers("Session")) is wanted


@pytest.mark.parametrize("name", FIRST_BYTES)
def test_wherever_they_are_cut_nothing_else_is_told(name: str) -> None:
    said, wanted = FIRST_BYTES[name]
    told = [wants_session(said[:end]) for end in range(len(said) + 1)]
    assert told[0] is None
    assert set(told) == {None, wanted}
    assert told == sorted(told, key=lambda answer: answer is not None), "once told is told"
    if wanted:
        assert told.count(wanted) == 1, "only the whole of the settings tells"


# --- Handing over ------------------------------------------------------------------


class Ear(asyncio.Protocol):
    """Stands for a session, or for whatever is connected."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.heard = b""
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert self.transport is None, "only once"
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.heard += data

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()


class Transport(asyncio.Transport):
    """A connection that delivers what the test says."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.closed = self.paused = False
        protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        assert isinstance(self.protocol, asyncio.Protocol)
        self.protocol.data_received(data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True


async def test_a_session_hears_all_behind_the_preface_wherever_it_is_cut() -> None:
    said = PREFACE + settings((3, 1), WANTS_SESSION) + headers("Session") + b"and more"
    for end in range(len(said) + 1):
        sessions: list[Ear] = []

        def session(sessions: list[Ear] = sessions) -> Ear:
            sessions.append(Ear())
            return sessions[-1]

        transport = Transport(Arrival(session, "nowhere"))
        transport.deliver(said[:end])
        transport.deliver(said[end:])
        (ear,) = sessions
        assert transport.protocol is ear
        assert ear.transport is transport
        assert ear.heard == said[len(PREFACE) :]
        assert not transport.closed


async def test_any_other_client_is_handed_on_unread() -> None:
    transport = Transport(Arrival(Ear, "/nowhere/grpc"))
    transport.deliver(b"GET / HTTP/1.1\r\n")
    assert isinstance(transport.protocol, Relay)
    assert transport.paused, "until gRPC is reached"


async def timer(seconds: float) -> None:
    """Returns when a timer has run that was set after all that are to run by then."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, done.set_result, None)
    await done


@pytest.mark.parametrize("said", [b"", PREFACE, PREFACE + settings(WANTS_SESSION)[:-1]])
async def test_who_does_not_say_what_it_wants_is_let_go(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PATIENCE_SECONDS", 0.02)
    transport = Transport(Arrival(Ear, "nowhere"))
    transport.deliver(said)
    assert not transport.closed
    await timer(0.02)
    assert transport.closed


@pytest.mark.parametrize("said", [PREFACE + settings(WANTS_SESSION), b"GET /"])
async def test_who_has_said_it_may_be_silent(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(Relay, "reach", lambda *_: None)
    transport = Transport(Arrival(Ear, "nowhere"))
    transport.deliver(said)
    await timer(0.02)
    assert not transport.closed


async def test_nobody_waits_for_who_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PATIENCE_SECONDS", 0.01)
    arrival = Arrival(Ear, "nowhere")
    transport = Transport(arrival)
    transport.deliver(PREFACE)
    arrival.connection_lost(None)
    await timer(0.02)
    assert not transport.closed
