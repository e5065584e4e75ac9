"""The server's side of TLS: bytes cut anywhere, what is refused, and how a connection ends."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker.wire import tls
from tests.python.support.certificates import SERVER, Authority, Pair
from tests.python.support.tls import VERSIONS, Pairing, client_context, server_context

BOTH_VERSIONS = pytest.mark.parametrize("version", VERSIONS, ids=lambda it: it.name)


class Files:
    """The certificates of these tests."""

    def __init__(self, folder: Path) -> None:
        self.ca = Authority(folder)
        self.server = self.ca.issue("server", "localhost")
        self.client = self.ca.issue("client")
        self.expired = self.ca.issue("expired", days=(-5, -1))
        self.for_servers = self.ca.issue("for_servers", usages=[SERVER])
        self.foreign = Authority(folder, "other").issue("foreign")

    def pairing(
        self, *, mutual: bool = False, pair: Pair | None = None, **options: object
    ) -> Pairing:
        """Both ends; options are the client's version, and cuts."""
        version = options.get("version")
        assert version is None or isinstance(version, ssl.TLSVersion)
        cuts = options.get("cuts", ())
        assert isinstance(cuts, (list, tuple))
        server = server_context(self.server, self.ca.cert if mutual else None)
        return Pairing(server, client_context(self.ca, pair, version), cuts=cuts)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


CUTS = st.lists(st.integers(1, 2000), max_size=5)
TEXTS = st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=4)


@settings(max_examples=60)
@given(cuts=CUTS, there=TEXTS, back=TEXTS, version=st.sampled_from(VERSIONS), mutual=st.booleans())
def test_what_is_said_arrives_wherever_it_is_cut(
    files: Files,
    cuts: list[int],
    there: list[bytes],
    back: list[bytes],
    version: ssl.TLSVersion,
    mutual: bool,
) -> None:
    async def talk() -> None:
        pair = files.client if mutual else None
        both = files.pairing(mutual=mutual, pair=pair, version=version, cuts=cuts)
        both.connect()
        assert both.shaken
        for text in there:
            both.say(text)
        assert both.inner.received == b"".join(there)
        both.inner.transport.write(back[0])
        both.inner.transport.writelines([memoryview(text) for text in back[1:]])
        assert both.hear() == b"".join(back)

    asyncio.run(talk())


@settings(max_examples=60)
@given(junk=st.binary(min_size=1, max_size=200), place=st.integers(0, 400))
def test_no_bytes_in_a_handshake_do_more_than_end_it(files: Files, junk: bytes, place: int) -> None:
    async def talk() -> None:
        both = files.pairing()
        both.shake()
        hello = both.from_client()
        both.server.data_received(hello[:place] + junk)
        both.server.eof_received()
        assert both.inner.calls == []
        assert len(both.refused) + len(both.plain) == 1

    asyncio.run(talk())


@settings(max_examples=40)
@given(junk=st.binary(min_size=1, max_size=400), version=st.sampled_from(VERSIONS))
def test_junk_among_the_records_closes_after_what_came_before(
    files: Files, junk: bytes, version: ssl.TLSVersion
) -> None:
    async def talk() -> None:
        both = files.pairing(version=version)
        both.connect()
        both.say(b"before")
        both.server.data_received(junk)
        both.server.data_received(bytes(17_000))
        await asyncio.sleep(0)
        assert both.inner.received == b"before"
        assert both.wire.closed

    asyncio.run(talk())


@BOTH_VERSIONS
async def test_a_large_text_arrives_whole_both_ways(files: Files, version: ssl.TLSVersion) -> None:
    both = files.pairing(version=version)
    both.connect()
    large = bytes(range(256)) * 8192
    both.say(large)
    assert both.inner.received == large
    both.inner.transport.writelines([large[:70_000], memoryview(large)[70_000:]])
    assert both.hear() == large


REFUSED = {
    "no certificate": (None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    "of another CA": ("foreign", "CERTIFICATE_VERIFY_FAILED"),
    "expired": ("expired", "CERTIFICATE_VERIFY_FAILED"),
    "for another purpose": ("for_servers", "CERTIFICATE_VERIFY_FAILED"),
}


@BOTH_VERSIONS
@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_client_gets_the_alert_that_says_why(
    name: str, files: Files, version: ssl.TLSVersion
) -> None:
    field, reason = REFUSED[name]
    pair = None if field is None else getattr(files, field)
    both = files.pairing(mutual=True, pair=pair, version=version)
    with pytest.raises(ssl.SSLError, match="ALERT"):
        both.connect_and_hear()
    [(error, alert)] = both.refused
    assert isinstance(error, ssl.SSLError)
    assert error.reason == reason
    assert alert
    assert both.inner.calls == []


async def test_a_client_that_does_not_trust_the_server_is_heard(files: Files) -> None:
    both = Pairing(server_context(files.server), ssl.create_default_context(), name="localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        both.connect()
    both.server.data_received(both.from_client())
    [(error, _)] = both.refused
    assert isinstance(error, ssl.SSLError)
    assert error.reason == "TLSV1_ALERT_UNKNOWN_CA"


async def test_a_client_without_tls_is_answered_once(files: Files) -> None:
    both = files.pairing()
    both.server.data_received(b"PRI * HTTP/2.0\r\n")
    both.server.data_received(b"\r\nSM\r\n\r\n")
    assert both.plain == [b"PRI * HTTP/2.0\r\n"]
    assert both.refused == []


async def test_a_handshake_that_is_cut_off_is_refused(files: Files) -> None:
    both = files.pairing()
    both.shake()
    both.server.data_received(both.from_client()[:50])
    assert both.server.eof_received() is False
    [(error, _)] = both.refused
    assert "left in the middle of the handshake" in str(error)


async def test_who_says_nothing_and_leaves_is_not_refused(files: Files) -> None:
    both = files.pairing()
    assert both.server.eof_received() is False
    both.server.connection_lost(None)
    assert (both.refused, both.plain, both.inner.calls) == ([], [], [])


async def test_a_handshake_that_hangs_is_given_up(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.0)
    both = files.pairing()
    async with asyncio.timeout(30):
        while not both.refused:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert isinstance(both.refused[0][0], TimeoutError)
    both.server.data_received(b"\x16too late")
    both.server.connection_lost(None)
    assert (len(both.refused), both.inner.calls) == (1, [])


@BOTH_VERSIONS
async def test_while_reading_is_paused_nothing_is_handed_on(
    files: Files, version: ssl.TLSVersion
) -> None:
    both = files.pairing(version=version)
    both.connect()
    both.inner.transport.pause_reading()
    assert both.wire.paused
    both.say(b"x" * 40_000)
    assert both.inner.received == b""
    both.inner.transport.resume_reading()
    await asyncio.sleep(0)
    assert both.inner.received == b"x" * 40_000
    assert not both.wire.paused


@BOTH_VERSIONS
async def test_the_client_s_goodbye_closes_and_is_returned(
    files: Files, version: ssl.TLSVersion
) -> None:
    both = files.pairing(version=version)
    both.connect()
    both.client.write(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        both.client.unwrap()
    both.pass_on()
    await asyncio.sleep(0)
    assert both.inner.received == b"last words"
    assert both.wire.closed
    both.pass_on()
    both.client.unwrap()


async def test_a_connection_that_ends_without_a_goodbye_is_closed(files: Files) -> None:
    both = files.pairing()
    both.connect()
    both.say(b"x")
    assert both.server.eof_received() is False
    both.server.connection_lost(None)
    assert both.inner.calls == ["made", "lost"]


async def test_after_write_eof_nothing_more_is_sent_and_what_comes_is_read(files: Files) -> None:
    both = files.pairing()
    both.connect()
    both.inner.transport.write(b"the end")
    both.inner.transport.write_eof()
    assert both.wire.ended
    both.inner.transport.write(b"too late")
    both.client.write(b"still here")
    both.server.data_received(both.from_client())
    assert both.hear() == b"the end"
    assert both.inner.received == b"still here"


async def test_what_the_socket_tells_reaches_the_protocol(files: Files) -> None:
    both = files.pairing()
    both.server.pause_writing()  # in the handshake nobody is told
    both.server.resume_writing()
    both.connect()
    both.server.pause_writing()
    both.server.resume_writing()
    both.server.connection_lost(None)
    assert both.inner.calls == ["made", "pause", "resume", "lost"]


async def test_the_certificate_of_the_client_is_known_above(files: Files) -> None:
    both = files.pairing(mutual=True, pair=files.client)
    both.connect()
    tls_object = both.inner.transport.get_extra_info("ssl_object")
    assert tls_object.getpeercert()["subject"] == ((("commonName", "client"),),)
    assert both.inner.transport.get_extra_info("peername") is None


async def test_an_aborted_connection_says_nothing_more(files: Files) -> None:
    both = files.pairing()
    both.connect()
    both.inner.transport.abort()
    both.inner.transport.close()
    assert both.wire.aborted
    assert both.inner.transport.is_closing()
    assert both.wire.take() == b""
