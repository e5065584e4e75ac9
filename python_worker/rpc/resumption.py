"""Keeps the references of sessions that were lost, until a later session takes them over.

A client that asks for a grace time gets a key with its hello. When its session is lost, its calls
end at once, and its references stay until the grace time is over. A session that shows the key
takes them over: they are as before, and the client releases those that it does not know of, because
a reply or a release was lost with the connection.

A key is random, and used once: each session has its own. It is good only for who has shown the same
token and the same names in its certificate as the session that it is of. Only its digest is kept,
and all are compared, so that time tells nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from python_worker.dispatch.references import References
from python_worker.rpc.roles import Peer
from python_worker.rpc.session import Session

logger = logging.getLogger(__name__)

KEY_BYTES = 32

# However long a client asks for: what it left would stay for whoever has forgotten it.
MAX_GRACE_MILLISECONDS = 3_600_000

# How many lost sessions of one identity may be waited for. A client that comes and goes must not
# fill the worker, nor end the grace time of others.
MAX_LOST = 1024


@dataclass(frozen=True)
class Identity:
    """Who has opened a session, as far as it has shown.

    Attributes:
        token: The digest of its token; that of an empty one too.
        names: Those in its certificate.
        certified: Whether it has presented a certificate.
    """

    token: bytes
    names: frozenset[str]
    certified: bool

    @classmethod
    def of(cls, token: str, peer: Peer) -> Identity:
        """The identity of a client with a token, connected in some way."""
        return cls(hashlib.sha256(token.encode()).digest(), peer.names, peer.certified)


@dataclass(eq=False)
class Claim:
    """The right to take over the references of one session.

    Attributes:
        session: Holds the references.
        digest: Of the key.
        identity: Who may use the key.
        seconds: How long the references are kept when the session is lost.
        abandon: Closes the session's connection, if that is still open.
        timer: Runs once the session is lost.
    """

    session: Session
    digest: bytes
    identity: Identity
    seconds: float
    abandon: Callable[[], object]
    timer: asyncio.TimerHandle | None = None


class Resumption:
    """The keys of all sessions of one worker.

    Args:
        references: Where the references are kept.
    """

    def __init__(self, references: References) -> None:
        self._references = references
        self._claims: dict[Session, Claim] = {}
        # In the order in which they were lost.
        self._lost: dict[Session, Claim] = {}

    def issue(
        self,
        session: Session,
        identity: Identity,
        grace_milliseconds: int,
        abandon: Callable[[], object],
    ) -> bytes:
        """Make the key of a new session; see ``Claim``.

        Returns:
            The key; empty if the client has asked for no grace time.
        """
        if not grace_milliseconds:
            return b""
        key = secrets.token_bytes(KEY_BYTES)
        seconds = min(grace_milliseconds, MAX_GRACE_MILLISECONDS) / 1000
        digest = hashlib.sha256(key).digest()
        self._claims[session] = Claim(session, digest, identity, seconds, abandon)
        return key

    def take_over(self, key: bytes, identity: Identity, session: Session) -> list[str] | None:
        """Give the references of the session whose key this is to another, once.

        Returns:
            Their ids, each as often as it is counted; None if the key is of no session.
        """
        claim = self._find(key, identity)
        if claim is None:
            return None
        self._drop(claim)
        held = self._references.move_all(claim.session, session)
        if claim.timer is None:
            logger.info("a client is back before the loss of its session was noticed")
            claim.abandon()
        logger.info("a session was resumed with %d references", len(held))
        return held

    def _find(self, key: bytes, identity: Identity) -> Claim | None:
        digest = hashlib.sha256(key).digest()
        found = [it for it in self._claims.values() if hmac.compare_digest(it.digest, digest)]
        if not found:
            return None
        if found[0].identity != identity:
            logger.warning(
                "a session was not resumed: its key was shown with another token or certificate"
            )
            return None
        return found[0]

    def session_ended(self, session: Session) -> None:
        """Release the references of a session that has ended, unless it may be resumed.

        Idempotent.
        """
        claim = self._claims.get(session)
        if claim is not None and session.leaving:
            self._drop(claim)
            claim = None
        if claim is None:
            self._references.release_all(session)
        elif claim.timer is None:
            loop = asyncio.get_running_loop()
            claim.timer = loop.call_later(claim.seconds, self._expire, claim)
            claim.abandon = _nothing  # The connection is closed, and may go.
            self._lost[session] = claim
            self._make_room(claim.identity)

    def _make_room(self, identity: Identity) -> None:
        lost = [it for it in self._lost.values() if it.identity == identity]
        if len(lost) > MAX_LOST:
            logger.warning(
                "a client has lost more than %d sessions within their grace time: the references "
                "of the first are released",
                MAX_LOST,
            )
            self._expire(lost[0])

    def _expire(self, claim: Claim) -> None:
        self._drop(claim)
        self._references.release_all(claim.session)

    def _drop(self, claim: Claim) -> None:
        del self._claims[claim.session]
        self._lost.pop(claim.session, None)
        if claim.timer is not None:
            claim.timer.cancel()


def _nothing() -> None:
    """What is done to abandon a connection that is closed."""
