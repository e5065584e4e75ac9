"""Who is let in, and with which role.

The file of roles is TOML, with a table for each role::

    [roles.web]
    tokens_sha256 = ["9f86d0…"]          # the SHA-256 of each token, in hex
    certificates = ["web.example.org"]   # names in certificates: subject or alternative
    allow = "inference"                  # or "everything", which is the default
    engines = ["llama"]                  # names of engines; all when it is left out

The worker's own token (``VLLM_BRIDGE_TOKEN``) allows everything. A client that shows a token and a
certificate may do what both allow. The file is read again when it has changed.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_worker.dispatch.access import EVERYTHING, Access
from python_worker.exceptions import Unauthenticated
from python_worker.rpc.watched_files import WatchedFiles
from python_worker.settings import SettingsError

logger = logging.getLogger(__name__)

FIELDS = frozenset({"tokens_sha256", "certificates", "allow", "engines"})
ALLOWED = {"everything": False, "inference": True}
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Peer:
    """How a client is connected.

    Attributes:
        local: Over a Unix socket, which nobody but the worker's user may open.
        names: Those in its certificate, which its handshake has proven; none without one.
        certified: Whether it has presented a certificate.
    """

    local: bool = False
    names: frozenset[str] = frozenset()
    certified: bool = False


@dataclass(frozen=True)
class Role:
    """One table of the file.

    Attributes:
        digests: Of its tokens.
        certificates: The names that its certificates have.
        access: What it allows.
    """

    digests: tuple[str, ...]
    certificates: frozenset[str]
    access: Access


class Admission:
    """Decides who is let in.

    Args:
        token: The worker's own; empty for none.
        roles: The path of the file of roles; empty for none.
        certificates: Whether clients present certificates.

    Raises:
        SettingsError: The file cannot be read, or names certificates that nobody presents.
    """

    def __init__(self, *, token: str, roles: str = "", certificates: bool = False) -> None:
        self._own = hashlib.sha256(token.encode()).hexdigest() if token else ""
        self._path = roles
        self._certificates = certificates
        self._watched = WatchedFiles([roles] if roles else [])
        self._roles = self._read() if roles else []

    def admit(self, token: str, peer: Peer) -> Access:
        """What a client may do, from what it has shown.

        Raises:
            Unauthenticated: It may do nothing; says what was missing or wrong.
        """
        self._refresh()
        by_certificate = [it.access for it in self._roles if it.certificates & peer.names]
        if not (self._own or any(role.digests for role in self._roles)):
            token = ""  # no token is known, so none is asked for
        if token:
            access = self._by_token(token)
        elif by_certificate or self._needs_no_token(peer):
            access = EVERYTHING
        else:
            raise Unauthenticated(self._what_is_missing(peer))
        for each in by_certificate:
            access = access.within(each)
        return access

    def _by_token(self, token: str) -> Access:
        """The access of a token. All digests are compared, so that time tells nothing."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        known = [(self._own, EVERYTHING)]
        known += [(it, role.access) for role in self._roles for it in role.digests]
        found = [access for it, access in known if hmac.compare_digest(it, digest)]
        if not found:
            raise Unauthenticated("the token is not one that the worker knows")
        return found[0]

    def _needs_no_token(self, peer: Peer) -> bool:
        return not self._own and (peer.local or not self._path)

    def _what_is_missing(self, peer: Peer) -> str:
        if not peer.certified:
            return "the worker wants a token, and the client has sent none"
        names = ", ".join(sorted(peer.names)) or "none"
        return f"the client has sent no token, and no role names its certificate (names: {names})"

    def _refresh(self) -> None:
        if not (self._path and self._watched.changed()):
            return
        try:
            self._roles = self._read()
        except SettingsError as error:
            logger.warning("the roles have changed and are not used: %s", error)
        else:
            logger.info("the roles have changed and were read again")

    def _read(self) -> list[Role]:
        roles = read(self._path)
        if any(role.certificates for role in roles) and not self._certificates:
            raise SettingsError(
                f"--roles {self._path} names certificates, which clients present with "
                "--tls-client-ca only"
            )
        return roles


def read(path: str) -> list[Role]:
    """Read a file of roles.

    Raises:
        SettingsError: It cannot be read, or holds something else; says what and where.
    """
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"--roles {path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"--roles {path} is no TOML: {error}") from None
    roles = found.pop("roles", {})
    if found or not isinstance(roles, dict) or not roles:
        raise SettingsError(f"--roles {path} holds tables [roles.NAME] and nothing else")
    return [_role(f"--roles {path}: roles.{name}", name, table) for name, table in roles.items()]


def _role(where: str, name: str, table: Any) -> Role:
    if not isinstance(table, dict) or not table.keys() <= FIELDS:
        raise SettingsError(f"{where} is a table with {', '.join(sorted(FIELDS))}")
    allow = table.get("allow", "everything")
    if not isinstance(allow, str) or allow not in ALLOWED:
        raise SettingsError(f"{where}.allow is one of {', '.join(ALLOWED)}")
    digests = tuple(it.lower() for it in _texts(where, table, "tokens_sha256"))
    if not all(map(DIGEST.fullmatch, digests)):
        # Not shown: whoever writes a token there by mistake does not want it in the log.
        raise SettingsError(f"{where}.tokens_sha256 holds SHA-256 digests in 64 hex digits")
    certificates = frozenset(_texts(where, table, "certificates"))
    if not (digests or certificates):
        raise SettingsError(f"{where} has neither tokens_sha256 nor certificates: nobody has it")
    engines = frozenset(_texts(where, table, "engines")) if "engines" in table else None
    access = Access(name, ALLOWED[allow], engines)
    return Role(digests, certificates, access)


def _texts(where: str, table: Mapping[str, Any], field: str) -> list[str]:
    found = table.get(field, [])
    if not isinstance(found, list) or not all(isinstance(it, str) for it in found):
        raise SettingsError(f"{where}.{field} is a list of strings")
    return found
