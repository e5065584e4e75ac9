"""Who is let in with which role, and what is wrong with a file of roles."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from python_worker.dispatch.access import EVERYTHING
from python_worker.exceptions import Kind, Unauthenticated
from python_worker.rpc.roles import Admission, Peer, read
from python_worker.settings import SettingsError

LOCAL = Peer(local=True)
REMOTE = Peer()
WEB = Peer(names=frozenset({"web.test"}), certified=True)
OTHER = Peer(names=frozenset({"other.test"}), certified=True)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


ROLES = f"""
[roles.web]
certificates = ["web.test", "web2.test"]
allow = "inference"

[roles.batch]
tokens_sha256 = ["{digest("batch token")}"]
engines = ["llama", "qwen"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "roles.toml"
    path.write_text(ROLES)
    return path


@pytest.mark.parametrize("peer", [LOCAL, REMOTE, WEB])
def test_without_tokens_and_roles_everybody_is_let_in(peer: Peer) -> None:
    assert Admission(token="").admit("any", peer) is EVERYTHING


@pytest.mark.parametrize("token", ["", "T", "tt", "ü"])
@pytest.mark.parametrize("peer", [LOCAL, REMOTE, WEB])
def test_a_wrong_token_is_refused(token: str, peer: Peer) -> None:
    with pytest.raises(Unauthenticated) as caught:
        Admission(token="t").admit(token, peer)
    assert caught.value.kind == Kind.UNAUTHENTICATED
    assert token == "" or token not in str(caught.value).split()


def test_the_worker_s_own_token_allows_everything(path: Path) -> None:
    admission = Admission(token="own", roles=str(path), certificates=True)
    assert admission.admit("own", REMOTE) is EVERYTHING


def test_a_token_has_its_role(path: Path) -> None:
    admission = Admission(token="own", roles=str(path), certificates=True)
    access = admission.admit("batch token", REMOTE)
    assert (access.role, access.inference_only) == ("batch", False)
    assert access.engines == frozenset({"llama", "qwen"})


def test_a_certificate_that_a_role_names_needs_no_token(path: Path) -> None:
    access = Admission(token="own", roles=str(path), certificates=True).admit("", WEB)
    assert (access.role, access.inference_only, access.engines) == ("web", True, None)


def test_a_certificate_limits_what_a_token_allows(path: Path) -> None:
    admission = Admission(token="own", roles=str(path), certificates=True)
    assert admission.admit("own", WEB).role == "web"
    access = admission.admit("batch token", WEB)
    assert (access.inference_only, access.engines) == (True, frozenset({"llama", "qwen"}))


@pytest.mark.parametrize("own", ["own", ""])
@pytest.mark.parametrize("peer", [REMOTE, OTHER])
def test_with_roles_nobody_comes_from_the_network_without_one(
    own: str, peer: Peer, path: Path
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        Admission(token=own, roles=str(path), certificates=True).admit("", peer)
    assert ("other.test" in str(caught.value)) == peer.certified


def test_who_may_open_the_socket_needs_no_role_where_there_is_no_token(path: Path) -> None:
    admission = Admission(token="", roles=str(path), certificates=True)
    assert admission.admit("", LOCAL) is EVERYTHING


def test_without_roles_a_certificate_is_enough() -> None:
    assert Admission(token="", certificates=True).admit("", OTHER) is EVERYTHING


WRONG = {
    "no TOML": ("= 1", "is no TOML"),
    "no bytes of text": ("\udcff", "is no TOML"),
    "nothing": ("", "holds tables [roles.NAME] and nothing else"),
    "other tables": ("[roles.a]\ntokens_sha256 = []\n[x]", "and nothing else"),
    "roles that are no tables": ("roles = 1", "holds tables [roles.NAME]"),
    "a role that is no table": ("[roles]\na = 1", "roles.a is a table with allow"),
    "another field": ('[roles.a]\ntoken = "x"', "roles.a is a table with allow"),
    "another allow": ('[roles.a]\nallow = "some"', "roles.a.allow is one of everything, inference"),
    "an allow that is a list": ("[roles.a]\nallow = []", "roles.a.allow is one of"),
    "a token": ('[roles.a]\ntokens_sha256 = ["a secret"]', "64 hex digits"),
    "nobody": ('[roles.a]\nallow = "inference"', "nobody has it"),
    "engines that are a text": (
        f'[roles.a]\ntokens_sha256 = ["{digest("x")}"]\nengines = "llama"',
        "roles.a.engines is a list of strings",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_wrong_is_refused_with_the_place(name: str, tmp_path: Path) -> None:
    text, reason = WRONG[name]
    path = tmp_path / "roles.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError) as caught:
        read(str(path))
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert "a secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match="--roles /nowhere cannot be read: No such file"):
        read("/nowhere")


def test_certificates_that_nobody_presents_are_refused(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"names certificates.*--tls-client-ca"):
        Admission(token="t", roles=str(path))


def change(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(1, len(text)))


def test_changed_roles_hold_for_the_next_client(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    admission = Admission(token="own", roles=str(path), certificates=True)
    change(path, ROLES.replace("batch token", "x").replace(digest("batch token"), digest("new")))
    with pytest.raises(Unauthenticated):
        admission.admit("batch token", REMOTE)
    assert admission.admit("new", REMOTE).role == "batch"
    change(path, "no TOML")
    assert admission.admit("new", REMOTE).role == "batch"
    assert "the roles have changed and are not used" in caplog.text
