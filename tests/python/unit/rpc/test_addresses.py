"""The sockets of the sessions' listener, and which address of the other kind is named."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_worker.rpc.addresses import (
    ASK_SECONDS,
    ASK_TIMES,
    QUIET_SECONDS,
    Addresses,
    listen,
    make_room,
    missing_folders,
    remove_socket,
    restrict,
    uri,
)
from python_worker.settings import SettingsError

ON_UVLOOP = True


@pytest.fixture
async def listeners() -> AsyncIterator[list[asyncio.Server]]:
    """Filled by a test; closed at its end."""
    listeners: list[asyncio.Server] = []
    yield listeners
    for listener in listeners:
        listener.close()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


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


class Accepted(asyncio.Protocol):
    """Tells of the connection that it gets."""

    def __init__(self, accepted: asyncio.Future[asyncio.Transport]) -> None:
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._accepted.set_result(cast(asyncio.Transport, transport))


async def test_a_client_that_has_gone_without_a_word_is_asked_for(
    listeners: list[asyncio.Server],
) -> None:
    accepted: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
    (listener, *_), address = await listen("tcp:127.0.0.1:0", lambda: Accepted(accepted))
    listeners.append(listener)
    host, _, port = address.removeprefix("tcp:").rpartition(":")
    _reader, writer = await asyncio.open_connection(host, int(port))
    end: socket.socket = (await accepted).get_extra_info("socket")
    assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == QUIET_SECONDS
    asked = QUIET_SECONDS + ASK_SECONDS * ASK_TIMES
    assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * asked
    writer.close()
    (await accepted).abort()


async def test_a_port_that_is_taken_is_an_error_with_the_reason() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen at tcp:127.0.0.1:{port}: .*in use"):
            await listen(f"tcp:127.0.0.1:{port}", asyncio.Protocol)


def test_a_dead_workers_socket_makes_room(short: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(short / "s"))
    make_room(f"unix:{short}/s")
    assert os.listdir(short) == []


def test_a_socket_of_ours_is_its_owners_alone_and_is_removed_at_the_end(short: Path) -> None:
    path, other = short / "s", short / "t"
    for each in (path, other):
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(each))
    path.chmod(0o777)
    restrict(f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    remove_socket(f"unix:{path}")
    remove_socket(f"unix:{path}")
    # A port has no file.
    restrict(f"tcp:{other}")
    remove_socket(f"tcp:{other}")
    assert os.listdir(short) == ["t"]


def test_folders_that_are_missing_are_named_from_the_innermost(short: Path) -> None:
    addresses = [f"unix:{short}/a/b/s", "tcp:127.0.0.1:5", f"unix:{short}/a/t", f"unix:{short}/u"]
    assert missing_folders(addresses) == [short / "a" / "b", short / "a"]
    assert missing_folders([f"tcp:{short}/a/b"]) == []


@pytest.mark.parametrize("waiting", [0, 2])
def test_the_socket_of_a_worker_that_lives_is_kept(waiting: int, short: Path) -> None:
    """Also of one that has no room for another connection at the moment."""
    with ExitStack() as opened:
        alive, *clients = [
            opened.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(waiting + 1)
        ]
        alive.bind(str(short / "s"))
        alive.listen(1)
        for client in clients:
            client.connect(str(short / "s"))
        with pytest.raises(OSError, match="another process listens there"):
            make_room(f"unix:{short}/s")
    assert os.listdir(short) == ["s"]


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_no_socket_is_kept(kind: str, short: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(short / "dead"))
    (short / "file").touch()
    (short / "link").symlink_to("dead")
    (short / "folder").mkdir()
    with pytest.raises(FileExistsError, match="no socket"):
        make_room(f"unix:{short / kind}")
    assert sorted(os.listdir(short)) == ["dead", "file", "folder", "link"]


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


ANY_PATH = st.binary(max_size=100).filter(lambda it: b"\0" not in it)


@given(ANY_PATH)
def test_an_address_as_a_uri_is_a_word_from_which_the_path_can_be_read(path: bytes) -> None:
    written = uri(f"unix:{os.fsdecode(path)}")
    assert re.fullmatch(r"unix:[A-Za-z0-9/._~%-]*", written)
    assert not written.startswith("unix://")
    read = unquote_to_bytes(written.removeprefix("unix:"))
    assert read.lstrip(b"/") == path.lstrip(b"/")
    assert read.startswith(b"/") == path.startswith(b"/")


@pytest.mark.parametrize("address", ["unix:/run/vllm.sock", "tcp:127.0.0.1:5", "tcp:[::1]:5", ""])
def test_a_plain_address_is_its_own_uri(address: str) -> None:
    assert uri(address) == address


def test_the_zone_of_a_host_is_written_as_in_a_uri() -> None:
    assert uri("tcp:[fe80::1%eth0]:5") == "tcp:[fe80::1%25eth0]:5"
