"""The files of TLS: what is wrong with them is said, and changed ones are read again."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

import pytest

from python_worker.rpc.certificates import Certificates, names_in, names_of
from python_worker.settings import SettingsError, TlsFiles
from tests.python.support.certificates import Authority, Pair
from tests.python.support.tls import VERSIONS, Pairing, client_context


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def files(pair: Pair, client_ca: Path | None = None) -> TlsFiles:
    return TlsFiles(str(pair.cert), str(pair.key), str(client_ca or ""))


def put(source: Pair, target: Pair) -> None:
    """Replaces the files of one by those of another, as a rename does."""
    source.cert.replace(target.cert)
    source.key.replace(target.key)


def subject_at(certificates: Certificates, ca: Authority) -> str:
    """The subject of the certificate that a client sees now."""
    both = Pairing(certificates.context(), client_context(ca))
    both.connect()
    certificate: Any = both.client.getpeercert()
    return str(certificate["subject"][0][0][1])


WRONG = {
    "no certificate": ("--tls-cert", "cannot be read: No such file or directory"),
    "no key": ("--tls-key", "cannot be read: No such file or directory"),
    "no CA": ("--tls-client-ca", "cannot be read: No such file or directory"),
    "a CA that is text": ("--tls-client-ca", "cannot be used: "),
    "a certificate that is text": ("--tls-cert", "cannot be used: "),
    "another key": ("--tls-key", "they do not belong together"),
    "an encrypted key": ("--tls-key", "the key is encrypted"),
    "a path with a zero": ("--tls-cert", "cannot be read: embedded null byte"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_cannot_be_used_are_named_with_the_reason(
    name: str, ca: Authority, tmp_path: Path
) -> None:
    pair = ca.issue("server", "localhost")
    text = tmp_path / "text"
    text.write_text("no PEM")
    cases = {
        "no certificate": TlsFiles(str(tmp_path / "none"), str(pair.key)),
        "no key": TlsFiles(str(pair.cert), str(tmp_path / "none")),
        "no CA": files(pair, tmp_path / "none"),
        "a CA that is text": files(pair, text),
        "a certificate that is text": TlsFiles(str(text), str(pair.key)),
        "another key": TlsFiles(str(pair.cert), str(ca.issue("other").key)),
        "an encrypted key": files(ca.issue("encrypted", password="secret")),
        "a path with a zero": TlsFiles("a\0b", str(pair.key)),
    }
    option, reason = WRONG[name]
    with pytest.raises(SettingsError) as caught:
        Certificates(cases[name])
    assert option in str(caught.value)
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda it: it.name)
async def test_both_versions_of_tls_are_served_over_http_2(
    version: ssl.TLSVersion, ca: Authority
) -> None:
    certificates = Certificates(files(ca.issue("server", "localhost")))
    both = Pairing(certificates.context(), client_context(ca, version=version))
    both.connect()
    assert both.client.version() == version.name.replace("_", ".")
    assert both.client.selected_alpn_protocol() == "h2"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
async def test_an_earlier_version_is_refused(ca: Authority) -> None:
    certificates = Certificates(files(ca.issue("server", "localhost")))
    context = client_context(ca)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    both = Pairing(certificates.context(), context)
    with pytest.raises(ssl.SSLError):
        both.connect()


async def test_no_session_is_resumed(ca: Authority) -> None:
    certificates = Certificates(files(ca.issue("server", "localhost")))
    context = client_context(ca, version=ssl.TLSVersion.TLSv1_2)
    both = Pairing(certificates.context(), context)
    both.connect()
    assert both.client.session is None or not both.client.session.has_ticket


async def test_files_that_have_changed_are_presented_at_the_next_connection(
    ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = ca.issue("server", "localhost", common_name="first")
    certificates = Certificates(files(pair))
    assert subject_at(certificates, ca) == "first"
    with caplog.at_level(logging.INFO):
        put(ca.issue("next", "localhost", common_name="second"), pair)
        assert subject_at(certificates, ca) == "second"
    assert "the files of TLS have changed and were read again" in caplog.text


async def test_files_in_the_middle_of_a_change_are_left_alone(
    ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pair = ca.issue("server", "localhost", common_name="first")
    certificates = Certificates(files(pair))
    following = ca.issue("next", "localhost", common_name="second")
    following.cert.replace(pair.cert)
    assert subject_at(certificates, ca) == "first"
    assert "are not used: " in caplog.text
    assert "they do not belong together" in caplog.text
    following.key.replace(pair.key)
    assert subject_at(certificates, ca) == "second"


def test_grpc_gets_changed_files_once(ca: Authority) -> None:
    pair = ca.issue("server", "localhost")
    certificates = Certificates(files(pair))
    assert certificates._changed_for_grpc() is None
    put(ca.issue("next", "localhost"), pair)
    certificates.context()  # the sessions' listener may notice it first
    assert certificates._changed_for_grpc() is not None
    assert certificates._changed_for_grpc() is None


async def test_changed_cas_of_clients_hold_for_the_next_connection(
    ca: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(ca.cert.read_bytes())
    certificates = Certificates(files(ca.issue("server", "localhost"), client_ca))
    client = client_context(ca, other.issue("client"), ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError):
        Pairing(certificates.context(), client).connect()
    client_ca.write_bytes(other.cert.read_bytes())
    Pairing(certificates.context(), client).connect()


async def test_names_are_the_common_one_and_the_alternative_ones(ca: Authority) -> None:
    pair = ca.issue("client", "web.example.org", "spiffe://x/web", common_name="web")
    certificates = Certificates(files(ca.issue("server", "localhost"), ca.cert))
    both = Pairing(certificates.context(), client_context(ca, pair))
    both.connect()
    certificate = both.inner.transport.get_extra_info("ssl_object").getpeercert()
    names = {"web", "web.example.org", "spiffe://x/web"}
    assert names_of(certificate) == names
    of_grpc = {
        "x509_common_name": [b"web"],
        "x509_subject_alternative_name": [b"web.example.org", b"spiffe://x/web"],
    }
    assert names_in(of_grpc) == names


def test_without_a_certificate_there_are_no_names() -> None:
    assert names_of(None) == names_of({}) == names_in({}) == frozenset()
