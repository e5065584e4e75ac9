"""Both kinds of listeners are opened together, name each other, and leave no file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker.rpc.addresses import Addresses
from python_worker.rpc.grpc_server import GrpcServer, services
from python_worker.rpc.grpc_service import Bridge
from python_worker.rpc.health import Health
from python_worker.rpc.listeners import Listeners
from python_worker.rpc.roles import Admission
from python_worker.settings import SettingsError
from tests.python.support.client import Client
from tests.python.support.served import TOKEN, Served

ON_UVLOOP = True


def made() -> tuple[Listeners, Addresses]:
    """Listeners that are not open yet."""
    served, bound = Served(), Addresses()
    bridge = Bridge(
        served.clients,
        start=served.start,
        references=served.references,
        admission=Admission(token=TOKEN),
        addresses=bound,
    )
    server = GrpcServer(services(bridge, Health()))
    return Listeners(served.clients, server, bound), bound


async def test_each_kind_names_the_other_in_its_hello(tmp_path: Path) -> None:
    listeners, bound = made()
    sessions, over_grpc = f"unix:{tmp_path}/s", f"unix:{tmp_path}/g"
    await listeners.open([sessions], [over_grpc])
    assert (bound.sessions, bound.grpc) == ([sessions], [over_grpc])
    native = Client(over_grpc, session_address=sessions)
    async with native as client, client.session(token=TOKEN) as session:
        assert session.hello.grpc_address == over_grpc
        assert session.hello.session_address == ""
    async with Client(over_grpc) as client, client.session(token=TOKEN) as session:
        assert session.hello.session_address == sessions
        assert session.hello.grpc_address == ""
    await listeners.close(1)
    assert os.listdir(tmp_path) == []


async def test_a_grpc_client_at_the_sessions_listener_is_told_where_to_go(tmp_path: Path) -> None:
    listeners, _ = made()
    await listeners.open([f"unix:{tmp_path}/s"], [f"unix:{tmp_path}/g"])
    async with Client(f"unix:{tmp_path}/s") as client:
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.call("Thing", "echo", 1)
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
            said = caught.value.details() or ""
            assert f"gRPC is served at unix:{tmp_path}/g: use that address" in said
    await listeners.close(0)


async def test_without_grpc_a_hello_names_none(tmp_path: Path) -> None:
    listeners, bound = made()
    await listeners.open([f"unix:{tmp_path}/s"], [])
    assert bound.grpc == []
    native = Client("unix:/nowhere", session_address=f"unix:{tmp_path}/s")
    async with native as client, client.session(token=TOKEN) as session:
        assert session.hello.grpc_address == ""
    await listeners.close(0)


@pytest.mark.parametrize("listen", ["s", "g"])
async def test_where_one_cannot_be_opened_nothing_is_left_of_the_others(
    listen: str, tmp_path: Path
) -> None:
    listeners, _ = made()
    good, bad = f"unix:{tmp_path}/good", "unix:/proc/none/s"
    both = {"s": ([f"{good}.s", bad], [good]), "g": ([f"{good}.s"], [good, bad])}
    with pytest.raises(SettingsError, match="/proc/none"):
        await listeners.open(*both[listen])
    assert os.listdir(tmp_path) == []


async def test_folders_are_removed_when_nothing_is_left_in_them(tmp_path: Path) -> None:
    listeners, _ = made()
    await listeners.open([f"unix:{tmp_path}/a/s"], [f"unix:{tmp_path}/b/g"])
    (tmp_path / "b" / "other").touch()
    listeners.remove_files()
    assert os.listdir(tmp_path) == ["b"]
    await listeners.close(0)


async def test_folders_that_were_there_before_are_kept(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    listeners, _ = made()
    await listeners.open([f"unix:{tmp_path}/theirs/ours/s"], [f"unix:{tmp_path}/theirs/g"])
    await listeners.close(0)
    assert (os.listdir(tmp_path), os.listdir(tmp_path / "theirs")) == (["theirs"], [])


async def find_each_other(bound: Addresses) -> None:
    """Connects with each kind by what is announced, and reads there the address of the other."""
    sessions, over_grpc = bound.sessions_beside("unix"), bound.grpc_beside("unix")
    native = Client(over_grpc, session_address=sessions)
    async with native as client, client.session(token=TOKEN) as session:
        assert session.hello.grpc_address == over_grpc
    async with Client(sessions) as client:
        if "%2C" in over_grpc:
            return  # this client of gRPC takes a comma for the end of an address
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.call("Thing", "echo", 1)
        assert f"gRPC is served at {over_grpc}: use" in (caught.value.details() or "")
    async with Client(over_grpc) as client, client.session(token=TOKEN) as session:
        assert session.hello.session_address == sessions


ANY_PATH = st.binary(min_size=1, max_size=40).map(lambda it: it.replace(b"\0", b"0"))


@settings(max_examples=40, deadline=None)
@given(ANY_PATH)
async def test_at_any_path_both_listeners_are_found_by_what_they_announce(name: bytes) -> None:
    """Also one with slashes at its beginning, of which gRPC would make the name of a host."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/x" + os.fsdecode(name.replace(b"/", b"_"))
        listeners, bound = made()
        await listeners.open([f"unix://{path}"], [f"unix:{path}.grpc"])
        try:
            await find_each_other(bound)
        finally:
            await listeners.close(0)
        assert os.listdir(folder) == []
