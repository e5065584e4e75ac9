"""A worker with TLS, client certificates and roles, at both listeners."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from tests.python.support.certificates import Authority, ClientCertificates, Pair
from tests.python.support.client import Client, Failed
from tests.python.support.native import BOTH_WAYS, PREFACE, NativeRpc, connect, headers, settings
from tests.python.support.values import Ref
from tests.python.support.worker import ROOT, TOKEN, Worker
from tests.python.support.workers import Workers, fake_engine

BATCH_TOKEN = "the token of batch jobs"

ROLES = f"""
[roles.web]
certificates = ["web.test"]
allow = "inference"

[roles.batch]
tokens_sha256 = ["{hashlib.sha256(BATCH_TOKEN.encode()).hexdigest()}"]
engines = ["llama"]
"""


class Site:
    """The files of a worker and its clients, and the worker."""

    def __init__(self, folder: Path) -> None:
        self.ca = Authority(folder)
        self.server = self.ca.issue("server", "localhost", "127.0.0.1")
        self.roles = folder / "roles.toml"
        self.roles.write_text(ROLES)
        self.admin = self.ca.issue("admin")
        self.web = self.ca.issue("web", "web.test")
        self.worker: Worker

    @property
    def arguments(self) -> list[str]:
        return [
            *("--tls-cert", str(self.server.cert), "--tls-key", str(self.server.key)),
            *("--tls-client-ca", str(self.ca.cert), "--roles", str(self.roles)),
        ]

    def client(self, pair: Pair | None, *, native: bool, token: str = TOKEN) -> Client:
        return Client(
            self.worker.address,
            token=token,
            session_address=self.worker.session_address if native else None,
            tls=ClientCertificates(self.ca.cert, pair),
        )


@pytest.fixture(scope="module")
def site(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("tls"))
    with workers.running("tls", *site.arguments, listen="tcp:127.0.0.1:0") as worker:
        site.worker = worker
        yield site


@BOTH_WAYS
async def test_a_client_of_both_kinds_generates_over_tls(site: Site, native: bool) -> None:
    async with site.client(site.admin, native=native) as client:
        engine = await fake_engine(client)
        session = client.session()
        async with session:
            assert await session.call(engine, "echo", "x") == "x"
            large = bytes(range(256)) * 40_000
            assert await session.call(engine, "echo", large) == large
            running = await session.start(engine, "generate", "a b", {"max_tokens": 3}, "r")
            await running.accepted()
            assert (await running.items())[-1].finished
        await client.call(engine, "shutdown")


@BOTH_WAYS
async def test_the_hello_names_the_other_listener_with_tls(site: Site, native: bool) -> None:
    client = site.client(site.admin, native=native)
    async with client, client.session() as session:
        other = site.worker.address if native else site.worker.session_address
        named = session.hello.grpc_address if native else session.hello.session_address
        assert named == f"tls://{other}"


async def test_grpc_without_a_certificate_is_not_let_in(site: Site) -> None:
    async with site.client(None, native=False) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.call("Worker", "status")
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


@BOTH_WAYS
async def test_a_certificate_alone_is_not_enough_where_there_is_a_token(
    site: Site, native: bool
) -> None:
    async with site.client(site.admin, native=native, token="") as client:
        session = client.session(token="")
        with pytest.raises(Failed) as caught:
            await session.__aenter__()
        assert caught.value.kind == "UNAUTHENTICATED"
        assert "names: admin" in str(caught.value)
        assert await session.status() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.call("Worker", "status")
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def refused(caller: object, target: Ref | str, method: str, *args: object) -> None:
    with pytest.raises(Failed) as caught:
        await caller.call(target, method, *args)  # type: ignore[attr-defined]
    assert caught.value.kind == "FORBIDDEN"


@BOTH_WAYS
async def test_a_certificate_for_inference_may_do_nothing_else(site: Site, native: bool) -> None:
    async with site.client(site.admin, native=False) as admin:
        engine = await fake_engine(admin)
        client = site.client(site.web, native=native, token="")
        async with client, client.session(token="") as session:
            for caller in (session, client):
                assert (await caller.call(engine, "is_running")) is True
                status = await caller.call("Worker", "status")
                assert engine.id in [it["ref"] for it in status["engines"]]
                for method in ("shutdown", "sleep", "get_tokenizer", "reset_prefix_cache"):
                    await refused(caller, engine, method)
                await refused(caller, "AsyncLLM", "from_engine_args", {"model": "fake"})
                await refused(caller, "vllm", "module_attr", "__version__")
            running = await session.start(engine, "generate", "a", {"max_tokens": 2}, "r")
            await running.accepted()
            assert (await running.items())[-1].finished
        assert await admin.call(engine, "is_running") is True
        await admin.call(engine, "shutdown")


@BOTH_WAYS
async def test_a_token_for_one_engine_sees_and_uses_no_other(site: Site, native: bool) -> None:
    async with site.client(site.admin, native=False) as admin:
        mine, other = [await admin.call("LLM", "new", name) for name in ("llama", "qwen")]
        client = site.client(site.admin, native=native, token=BATCH_TOKEN)
        async with client, client.session(token=BATCH_TOKEN) as session:
            for caller in (session, client):
                assert await caller.call(mine, "reset_prefix_cache") is not None
                status = await caller.call("Worker", "status")
                assert [it["ref"] for it in status["engines"]] == [mine.id]
                metrics = await caller.call("Worker", "metrics")
                assert [it["ref"] for it in metrics] == [mine.id]
                for method in ("get_num_unfinished_requests", "shutdown"):
                    await refused(caller, other, method)
                await refused(caller, "AsyncLLM", "from_engine_args", {"model": "fake"})
        for engine in (mine, other):
            await admin.call(engine, "shutdown")


async def test_what_is_no_http_2_within_tls_ends_its_connection_alone(site: Site) -> None:
    tls = ClientCertificates(site.ca.cert, site.admin).context()
    dice = random.Random(7)
    opening = PREFACE + settings() + headers("Session")
    for _ in range(60):
        bad = bytearray(opening + dice.randbytes(200))
        bad[dice.randrange(len(bad))] ^= 1 << dice.randrange(8)
        reader, writer = await connect(site.worker.session_address, tls)
        place = dice.randrange(len(bad))
        writer.write(bad[:place])
        writer.write(bad[place:])
        if writer.can_write_eof():
            writer.write_eof()
        writer.close()
        # Of what the worker still says, or of what it no longer reads.
        with suppress(ssl.SSLError, ConnectionError):
            async with asyncio.timeout(60):
                await reader.read()
    client = site.client(site.admin, native=True)
    async with client, client.session() as session:
        assert (await session.call("Worker", "status"))["sessions"] == 1


async def test_connections_cut_in_their_handshake_leave_nothing(site: Site) -> None:
    host, _, port = site.worker.session_address.rpartition(":")
    tls = ClientCertificates(site.ca.cert, site.admin).context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    first = outgoing.read()
    before = len(os.listdir(f"/proc/{site.worker.pid}/fd"))
    hanging = []
    for size in range(1, len(first), 17):
        hanging.append(await asyncio.open_connection(host, int(port)))
        hanging[-1][1].write(first[:size])
    # While they hang, others are served.
    client = site.client(site.admin, native=True)
    async with client, client.session() as session:
        await session.call("Worker", "status")
    for _, writer in hanging:
        writer.transport.abort()
    async with asyncio.timeout(60):
        while len(os.listdir(f"/proc/{site.worker.pid}/fd")) > before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def peer_certificate(site: Site, address: str) -> bytes | None:
    """The certificate that an address presents now."""
    tls = ClientCertificates(site.ca.cert, site.admin).context()
    _, writer = await connect(address, tls)
    certificate: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    return certificate.getpeercert(binary_form=True)


async def test_both_listeners_present_a_changed_certificate(site: Site) -> None:
    addresses = (site.worker.session_address, site.worker.address)
    client = site.client(site.admin, native=True)
    async with client, client.session() as session:
        before = [await peer_certificate(site, address) for address in addresses]
        following = site.ca.issue("next", "localhost", "127.0.0.1")
        following.cert.replace(site.server.cert)
        # In the middle of the change the earlier certificate is presented.
        assert [await peer_certificate(site, address) for address in addresses] == before
        following.key.replace(site.server.key)
        after = [await peer_certificate(site, address) for address in addresses]
        assert after[0] == after[1] != before[0]
        # A session that was open goes on.
        await session.call("Worker", "status")
    assert "the files of TLS have changed and are not used" in site.worker.tail()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")
async def test_a_client_may_not_negotiate_anew(site: Site) -> None:
    command = ["openssl", "s_client", "-connect", site.worker.session_address, "-tls1_2"]
    command += ["-cert", str(site.admin.cert), "-key", str(site.admin.key)]
    command += ["-CAfile", str(site.ca.cert), "-alpn", "h2"]
    ended = await asyncio.to_thread(
        subprocess.run, command, input=b"R\n", capture_output=True, timeout=60, check=False
    )
    assert b"RENEGOTIATING" in ended.stdout + ended.stderr
    assert b"no renegotiation" in ended.stderr
    client = site.client(site.admin, native=True)
    async with client, client.session() as session:
        await session.call("Worker", "status")


async def test_a_session_over_grpc_s_tls_names_the_sessions_address(site: Site) -> None:
    tls = ClientCertificates(site.ca.cert, site.admin).context()
    # grpcio and this client agree on HTTP/2 by ALPN.
    _, writer = await connect(site.worker.address, tls)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    writer.transport.abort()


async def test_no_token_and_no_key_is_in_the_log(site: Site) -> None:
    rpc = NativeRpc(
        site.worker.session_address, tls=ClientCertificates(site.ca.cert, site.web).context()
    )
    await rpc.close()
    log = site.worker.tail(10_000_000)
    for secret in (TOKEN, BATCH_TOKEN, hashlib.sha256(BATCH_TOKEN.encode()).hexdigest()):
        assert secret not in log
    assert "PRIVATE KEY" not in log


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("cert", "cannot be used"),
        ("roles", "is no TOML"),
    ],
)
def test_a_worker_with_unusable_files_ends_with_a_sentence(
    change: str, words: str, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    (site.roles if change == "roles" else site.server.cert).write_text("= secret")
    result = subprocess.run(
        [sys.executable, "-m", "python_worker", "--listen", "tcp:127.0.0.1:0", *site.arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr


@BOTH_WAYS
async def test_who_may_open_the_socket_has_no_role_and_a_token_of_a_role_has(
    native: bool, local_worker: Worker
) -> None:
    session_address = local_worker.session_address if native else None
    for token, kind in [("", None), (BATCH_TOKEN, "FORBIDDEN")]:
        client = Client(local_worker.address, token=token, session_address=session_address)
        async with client, client.session(token=token) as session:
            for caller in (session, client):
                if kind is None:
                    await caller.call(await fake_engine(caller), "shutdown")
                else:
                    await refused(caller, "AsyncLLM", "from_engine_args", {"model": "fake"})


@pytest.fixture(scope="module")
def local_worker(workers: Workers, site: Site) -> Iterator[Worker]:
    """At Unix sockets, with the token of a role and none of its own."""
    roles = site.roles.with_name("local.toml")
    roles.write_text(ROLES[ROLES.index("[roles.batch]") :])
    environment = {"VLLM_BRIDGE_TOKEN": ""}
    with workers.running("local", "--roles", str(roles), environment=environment) as worker:
        yield worker
