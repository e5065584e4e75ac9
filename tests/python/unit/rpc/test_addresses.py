"""The sockets of the sessions' listener, and which address of the other kind is named."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from python_worker.rpc.addresses import Addresses, listen
from python_worker.settings import SettingsError

ON_UVLOOP = True


@pytest.fixture
async def listeners() -> AsyncIterator[list[asyncio.Server]]:
    """Filled by a test; closed at its end."""
    listeners: list[asyncio.Server] = []
    yield listeners
    for listener in listeners:
        listener.close()


async def test_a_port_that_was_free_is_the_same_at_every_address_of_a_host(
    listeners: list[asyncio.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = ["127.0.0.1", "127.0.0.2"]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, 0)) for host in hosts]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    accepting, address = await listen("tcp:localhost:0", asyncio.Protocol)
    listeners += accepting
    port = int(address.removeprefix("tcp:localhost:"))
    assert port
    sockets = [sock for listener in listeners for sock in listener.sockets]
    assert [sock.getsockname() for sock in sockets] == [(host, port) for host in hosts]


async def test_a_port_that_is_taken_is_an_error_with_the_reason() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen at tcp:127.0.0.1:{port}: .*in use"):
            await listen(f"tcp:127.0.0.1:{port}", asyncio.Protocol)


BOTH = ["tcp:h:1", "unix:/a", "unix:/b"]


@pytest.mark.parametrize(
    ("scheme", "addresses", "named"),
    [
        ("unix", BOTH, "unix:/a"),
        ("tcp", BOTH, "tcp:h:1"),
        ("tcp", ["unix:/a"], "unix:/a"),
        ("unix", [], ""),
    ],
)
def test_the_address_that_is_named_is_of_the_clients_own_scheme_where_there_is_one(
    scheme: str, addresses: list[str], named: str
) -> None:
    assert Addresses(grpc=addresses).grpc_beside(scheme) == named
    assert Addresses(sessions=addresses).sessions_beside(scheme) == named
