"""References of a lost session stay for its grace time, for who has its key and is the same."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import Mock

import pytest

from python_worker.dispatch.access import EVERYTHING
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.rpc import resumption
from python_worker.rpc.resumption import MAX_GRACE_MILLISECONDS, Identity
from python_worker.rpc.roles import Admission, Peer
from python_worker.rpc.session import Session
from python_worker.rpc.sessions import ClientConnection, Sessions

LONG = 600_000

WEB = Peer(names=frozenset({"web.test"}), certified=True)
OTHER = Peer(names=frozenset({"other.test"}), certified=True)


@dataclass(eq=False)
class Thing:
    """Something that cannot cross the wire."""


class Worker:
    """Sessions whose calls are not of interest: what they hold is put there by the test."""

    def __init__(self) -> None:
        self.references = References()
        self.sessions = Sessions(
            start=lambda call: None,
            references=self.references,
            admission=Admission(token=""),
            pid=1,
        )
        self.abandoned: list[pb.ServerHello] = []
        self.released = asyncio.Event()
        self.served = ServedClass(released=lambda _: self.released.set())

    def open(
        self, *, peer: Peer = WEB, token: str = "", grace: int = LONG, key: bytes = b""
    ) -> tuple[pb.ServerHello, Session]:
        hello = pb.ClientHello(token=token, disconnect_grace_ms=grace, resume_key=key)
        connection = ClientConnection(
            peer, lambda: None, lambda: self.abandoned.append(answer.hello)
        )
        answer, session = self.sessions.open(hello, EVERYTHING, connection)
        return answer.hello, session

    def hold(self, session: Session, times: int = 1) -> str:
        thing = Thing()
        for _ in range(times):
            ref = self.references.hold(thing, session, served=self.served)
        return ref.id


@pytest.fixture
async def worker() -> Worker:
    return Worker()


async def test_a_session_with_the_key_has_the_references_of_the_lost_one(worker: Worker) -> None:
    first, session = worker.open()
    one, two = worker.hold(session, times=2), worker.hold(session)
    await worker.sessions.close(session)
    await worker.sessions.close(session)
    assert len(worker.references) == 2
    second, again = worker.open(key=first.resume_key)
    assert second.resumed
    assert Counter(second.held) == {one: 2, two: 1}
    assert worker.abandoned == []
    again.accept(pb.ClientFrame(releases=[one, one]))
    assert len(worker.references) == 1
    again.accept(pb.ClientFrame(releases=[two]))
    assert len(worker.references) == 0


@pytest.mark.parametrize("grace", [0, LONG])
async def test_a_key_is_random_and_only_for_who_asks_for_time(worker: Worker, grace: int) -> None:
    keys = {worker.open(grace=grace)[0].resume_key for _ in range(20)}
    assert {len(key) for key in keys} == ({0} if grace == 0 else {resumption.KEY_BYTES})
    assert len(keys) == (1 if grace == 0 else 20)


async def test_without_a_grace_time_references_go_with_the_session(worker: Worker) -> None:
    _, session = worker.open(grace=0)
    worker.hold(session)
    await worker.sessions.close(session)
    assert len(worker.references) == 0


async def test_who_leaves_releases_at_once(worker: Worker) -> None:
    hello, session = worker.open()
    worker.hold(session)
    session.accept(pb.ClientFrame(leaving=True))
    await worker.sessions.close(session)
    assert len(worker.references) == 0
    assert not worker.open(key=hello.resume_key)[0].resumed


async def test_references_are_released_when_the_time_is_over(worker: Worker) -> None:
    hello, session = worker.open(grace=1)
    worker.hold(session)
    await worker.sessions.close(session)
    await worker.released.wait()
    assert len(worker.references) == 0
    assert not worker.open(key=hello.resume_key)[0].resumed


async def test_a_key_is_used_once(worker: Worker) -> None:
    first, session = worker.open()
    worker.hold(session)
    await worker.sessions.close(session)
    second, again = worker.open(key=first.resume_key)
    stranger, _ = worker.open(key=first.resume_key)
    assert second.resumed
    assert not stranger.resumed
    assert not stranger.held
    assert second.resume_key not in (first.resume_key, b"")
    # The next loss is healed with the next key.
    await worker.sessions.close(again)
    assert worker.open(key=second.resume_key)[0].resumed


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1] + bytes([key[-1] ^ 1]),
        lambda key: key[:-1],
        lambda key: key + b"\0",
        lambda key: bytes(len(key)),
        hashlib.sha256,
    ],
)
async def test_a_guessed_key_gets_nothing_and_spoils_nothing(
    worker: Worker, change: Callable[[bytes], object]
) -> None:
    hello, session = worker.open()
    worker.hold(session)
    await worker.sessions.close(session)
    guessed = change(hello.resume_key)
    key = guessed if isinstance(guessed, bytes) else hashlib.sha256(hello.resume_key).digest()
    stranger, _ = worker.open(key=key)
    assert not stranger.resumed
    assert not stranger.held
    assert worker.open(key=hello.resume_key)[0].resumed


@pytest.mark.parametrize(("peer", "token"), [(OTHER, "t"), (Peer(), "t"), (WEB, ""), (WEB, "T")])
async def test_the_key_of_another_client_gets_nothing_and_spoils_nothing(
    worker: Worker, peer: Peer, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    hello, session = worker.open(token="t")
    worker.hold(session)
    await worker.sessions.close(session)
    stranger, _ = worker.open(key=hello.resume_key, peer=peer, token=token)
    assert not stranger.resumed
    assert not stranger.held
    assert "its key was shown with another token or certificate" in caplog.text
    assert worker.open(key=hello.resume_key, token="t")[0].resumed


def test_an_identity_does_not_hold_the_token() -> None:
    assert "secret" not in repr(Identity.of("secret", WEB))


async def test_a_session_that_is_still_open_is_closed(worker: Worker) -> None:
    """Its client knows of the loss, and the worker does not."""
    first, session = worker.open()
    ref_id = worker.hold(session)
    second, again = worker.open(key=first.resume_key)
    assert list(second.held) == [ref_id]
    assert worker.abandoned == [first]
    # What a call of the lost session returned while it was stopped goes with it.
    late = worker.hold(session)
    await worker.sessions.close(session)
    assert worker.references.get(late) is None
    assert worker.references.get(ref_id) is not None
    again.accept(pb.ClientFrame(releases=[ref_id]))
    assert len(worker.references) == 0


async def test_how_many_lost_sessions_are_waited_for_has_a_limit(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumption, "MAX_LOST", 3)
    hellos = []
    for _ in range(5):
        hello, session = worker.open()
        worker.hold(session)
        hellos.append(hello)
        await worker.sessions.close(session)
    assert len(worker.references) == 3
    resumed = [worker.open(key=hello.resume_key)[0].resumed for hello in hellos]
    assert resumed == [False, False, True, True, True]


async def test_a_client_ends_the_grace_time_of_none_but_itself(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumption, "MAX_LOST", 3)
    hello, session = worker.open(peer=OTHER)
    worker.hold(session)
    await worker.sessions.close(session)
    for _ in range(5):
        await worker.sessions.close(worker.open()[1])
    assert worker.open(peer=OTHER, key=hello.resume_key)[0].resumed


async def test_a_lost_session_keeps_nothing_of_its_connection(worker: Worker) -> None:
    class Protocol:
        """What has half of a large message."""

        def wake(self) -> None: ...

        def abandon(self) -> None: ...

    protocol = Protocol()
    hello = pb.ClientHello(disconnect_grace_ms=LONG)
    connection = ClientConnection(WEB, protocol.wake, protocol.abandon)
    _, session = worker.sessions.open(hello, EVERYTHING, connection)
    worker.hold(session)
    alive = weakref.ref(protocol)
    del protocol, connection
    assert alive() is not None
    await worker.sessions.close(session)
    gc.collect()
    assert alive() is None
    assert len(worker.references) == 1


async def test_what_fails_at_the_end_of_a_session_keeps_no_reference(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = worker.open(grace=0)
    worker.hold(session)
    monkeypatch.setattr(session, "stop_calls", Mock(side_effect=RuntimeError))
    with pytest.raises(RuntimeError):
        await worker.sessions.close(session)
    assert len(worker.references) == 0


async def test_how_long_is_waited_has_a_limit(worker: Worker) -> None:
    loop = asyncio.get_running_loop()
    _, session = worker.open(grace=2**64 - 1)
    await worker.sessions.close(session)
    (claim,) = worker.sessions._resumption._lost.values()
    assert claim.timer is not None
    assert claim.timer.when() <= loop.time() + MAX_GRACE_MILLISECONDS / 1000


@pytest.mark.parametrize("seed", range(20))
async def test_in_whatever_order_no_reference_is_lost_or_left(worker: Worker, seed: int) -> None:
    """One client that is cut and returns, sometimes too early, sometimes with the wrong key."""
    chance = random.Random(seed)
    hello, session = worker.open()
    owned: Counter[str] = Counter()
    lost: list[Session] = []
    for _ in range(60):
        match chance.randrange(5):
            case 0 | 1:
                times = chance.randint(1, 3)
                owned[worker.hold(session, times)] = times
            case 2 if owned:
                ref_id, times = chance.choice(sorted(owned.items()))
                session.accept(pb.ClientFrame(releases=[ref_id] * times))
                del owned[ref_id]
            case 3:
                stranger, _ = worker.open(key=chance.randbytes(32), grace=0)
                assert not stranger.resumed
            case _:
                if chance.random() < 0.5:
                    await worker.sessions.close(session)
                else:
                    lost.append(session)
                hello, session = worker.open(key=hello.resume_key)
                assert Counter(hello.held) == owned
                worker.hold(lost[-1]) if lost else None
        for each in lost:
            await worker.sessions.close(each)
        lost.clear()
        assert all(worker.references.get(ref_id) is not None for ref_id in owned)
        assert len(worker.references) == len(owned)
    session.accept(pb.ClientFrame(leaving=True))
    await worker.sessions.close(session)
    assert len(worker.references) == 0
