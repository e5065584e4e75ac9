"""gRPC's server: the addresses it takes, and that it serves again after it stopped by itself."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from python_worker.rpc import grpc_server
from python_worker.rpc.grpc_server import GrpcServer, target, with_port
from python_worker.rpc.health import Health
from python_worker.settings import SettingsError


class Broken:
    """A gRPC server that takes no more calls, and has one that is not over yet."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.stopped = False

    async def wait_for_termination(self, seconds: float | None = None) -> None:
        """Raises the reason, with no time limit when its calls are over."""
        if seconds is None:
            await self.over.wait()
        raise RuntimeError("it takes no more calls")

    async def stop(self, grace: float | None) -> None:
        """Has nothing left to stop."""
        self.stopped = True


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GrpcServer]:
    """A server of health alone, that listens nowhere yet."""
    monkeypatch.setattr(grpc_server, "LOOK_SECONDS", 0.01)
    health = Health()
    await health.serve("x")
    server = GrpcServer(
        lambda it: health_pb2_grpc.add_HealthServicer_to_server(health.servicer, it)
    )
    yield server
    await server.stop(0)


async def answers(address: str) -> bool:
    """Whether gRPC answers there."""
    async with grpc.aio.insecure_channel(target(address)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
async def test_it_serves_again_at_its_address_whenever_it_has_stopped_by_itself(
    scheme: str, tmp_path: Path, server: GrpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    address = server.bind(f"unix:{tmp_path}/grpc" if scheme == "unix" else "tcp:127.0.0.1:0")
    await server.start()
    assert await answers(address)
    broken = []
    for count in (1, 2, 3):
        await server._server.stop(None)
        broken.append(Broken())
        server._server = cast(grpc.aio.Server, broken[-1])
        keeper = asyncio.create_task(server.keep_serving())
        async with asyncio.timeout(30):
            while caplog.text.count(f"gRPC takes calls again at {address}") < count:
                assert not keeper.done(), "nothing serves again"
                await asyncio.sleep(0.01)
            assert await answers(address)
        assert not keeper.done()
        keeper.cancel()
    # Those that take no more calls are kept until theirs are over.
    assert len(server._retired) == len(broken)
    for each in broken:
        each.over.set()
    await asyncio.gather(*server._retired.values())
    assert not server._retired
    assert all(each.stopped for each in broken)


async def test_its_socket_is_for_its_owner_only_and_a_stale_one_is_replaced(
    tmp_path: Path, server: GrpcServer
) -> None:
    path = tmp_path / "made by the worker" / "grpc"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert server.bind(f"unix:{path}") == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await server.start()
    assert await answers(f"unix:{path}")


async def test_the_folder_of_its_socket_is_made(tmp_path: Path, server: GrpcServer) -> None:
    server.bind(f"unix:{tmp_path}/new/grpc")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["per%41cent", "q?x#y", "with space", "é", "a:b", "\udcff"])
async def test_any_path_is_taken_as_it_is(name: str, tmp_path: Path, server: GrpcServer) -> None:
    server.bind(f"unix:{tmp_path}/{name}")
    assert os.listdir(tmp_path) == [name]


async def test_a_path_that_clients_of_grpc_cannot_take_is_a_warning(
    tmp_path: Path, server: GrpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.bind(f"unix:{tmp_path}/a,b")
    assert os.listdir(tmp_path) == ["a,b"]
    assert f"cannot connect to unix:{tmp_path}/a%2Cb: they take a comma" in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
async def test_port_0_becomes_one_that_was_free(host: str, server: GrpcServer) -> None:
    address = server.bind(f"tcp:{host}:0")
    port = int(address.removeprefix(f"tcp:{host}:"))
    assert port
    await server.start()
    assert await answers(f"tcp:127.0.0.1:{port}")


async def test_a_port_that_is_taken_is_an_error_with_the_reason(server: GrpcServer) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"tcp:127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(SettingsError, match=r"in use.*another address with --grpc-listen") as e:
            server.bind(address)
    assert f"gRPC cannot listen at {address}: " in str(e.value)


async def test_two_servers_do_not_share_a_port(server: GrpcServer) -> None:
    address = server.bind("tcp:127.0.0.1:0")
    other = GrpcServer(lambda _: None)
    with pytest.raises(SettingsError, match="in use"):
        other.bind(address)


async def test_a_folder_that_cannot_be_made_is_an_error_with_the_reason(server: GrpcServer) -> None:
    with pytest.raises(
        SettingsError, match=r"gRPC cannot listen at unix:/proc/none/s: .*/proc/none"
    ):
        server.bind("unix:/proc/none/s")


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("unix:/a b%", "unix:/a%20b%25"),
        ("unix:relative", "unix:relative"),
        ("unix:///run/s", "unix:/run/s"),
        ("unix://run/s", "unix:/run/s"),
        ("tcp:127.0.0.1:5", "127.0.0.1:5"),
        ("tcp:[::1]:5", "[::1]:5"),
        ("tcp:::1:5", "[::1]:5"),
        ("tcp::5", "[::]:5"),
    ],
)
def test_addresses_as_grpc_takes_them(address: str, taken: str) -> None:
    assert target(address) == taken


def test_the_port_that_was_bound_replaces_that_of_the_address() -> None:
    assert with_port("tcp:[::1]:0", 7) == "tcp:[::1]:7"
    assert with_port("unix:/s", 1) == "unix:/s"
