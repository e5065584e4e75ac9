"""All clients that hold sessions: opens and closes these, and sends them notices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from python_worker import PROTOCOL_VERSION, __version__
from python_worker.buffers import LARGE, Buffer
from python_worker.dispatch.access import Access
from python_worker.dispatch.call import Start
from python_worker.dispatch.references import References
from python_worker.exceptions import BridgeError, ProtocolError
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.process.versions import vllm_version
from python_worker.rpc.resumption import Identity, Resumption
from python_worker.rpc.roles import Admission, Peer
from python_worker.rpc.session import Session, check_hello

logger = logging.getLogger(__name__)


def first_frame(message: Buffer) -> pb.ClientFrame:
    """Parse the first message of a client, which has not shown its token yet.

    One that is larger than any hello is not read, and taken for an empty frame.

    Raises:
        DecodeError: It is no ClientFrame.
    """
    return pb.ClientFrame.FromString(bytes(message) if len(message) < LARGE else b"")


@dataclass(frozen=True)
class ClientConnection:
    """What a session is opened over.

    Attributes:
        peer: How the client is connected.
        wake: Of ``Session``.
        abandon: Closes the connection, because its client has come back over another.
        grpc_address: For the hello of a client at the sessions' listener.
        session_address: For the hello of a client at gRPC's listener.
    """

    peer: Peer
    wake: Callable[[], None]
    abandon: Callable[[], object]
    grpc_address: str = ""
    session_address: str = ""


class Sessions:
    """All clients of one worker that hold a session, whichever listener they use.

    Args:
        start: Begins a call.
        references: Where references are kept.
        admission: Decides who is let in.
        pid: The worker's process id, for the hello.
    """

    def __init__(
        self, *, start: Start, references: References, admission: Admission, pid: int
    ) -> None:
        self._start_call = start
        self._references = references
        self._admission = admission
        self._resumption = Resumption(references)
        self._hello = pb.ServerHello(
            protocol_version=PROTOCOL_VERSION,
            worker_version=__version__,
            vllm_version=vllm_version() or "",
            incarnation=references.incarnation,
            pid=pid,
        )
        self._sessions: set[Session] = set()
        # What the engines have told of last, for sessions that are opened later.
        self._loads: dict[str, tuple[object, bytes]] = {}
        self._closing: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def admit(self, first: pb.ClientFrame, peer: Peer) -> Access:
        """What a client may do, from its first frame and how it is connected.

        Raises:
            ProtocolError: It cannot have a session.
        """
        if not first.HasField("hello"):
            raise ProtocolError("the first frame must hold a hello")
        check_hello(first.hello)
        return self._admission.admit(first.hello.token, peer)

    def open(
        self, hello: pb.ClientHello, access: Access, connection: ClientConnection
    ) -> tuple[pb.ServerFrame, Session]:
        """Open the session of a client that was admitted.

        Returns:
            The frame that answers the hello, and the session.
        """
        session = Session(
            start=self._start_call,
            references=self._references,
            wake=connection.wake,
            access=access,
        )
        self._sessions.add(session)
        for ref_id, (engine, load) in self._loads.items():
            if session.sees(engine):
                session.put_load(ref_id, load)
        role = f" with the role {access.role!r}" if access.role else ""
        logger.info("client %s connected%s", hello.client_version or "of unknown version", role)
        return pb.ServerFrame(hello=self._answer(hello, session, connection)), session

    def _answer(
        self, hello: pb.ClientHello, session: Session, connection: ClientConnection
    ) -> pb.ServerHello:
        identity = Identity.of(hello.token, connection.peer)
        held = None
        if hello.resume_key:
            held = self._resumption.take_over(hello.resume_key, identity, session)
        answer = pb.ServerHello(
            grpc_address=connection.grpc_address,
            session_address=connection.session_address,
            resume_key=self._resumption.issue(
                session, identity, hello.disconnect_grace_ms, connection.abandon
            ),
            resumed=held is not None,
            held=held or (),
        )
        answer.MergeFrom(self._hello)
        return answer

    def close(self, session: Session) -> asyncio.Future[None]:
        """Stop the calls of a session and release its references, in a task. Idempotent.

        If the session may be resumed, its references are kept for its grace time.
        """
        if session in self._sessions:
            self._sessions.remove(session)
            logger.info("client disconnected")
        closing = asyncio.ensure_future(self._close(session))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return closing

    async def _close(self, session: Session) -> None:
        try:
            await session.close()
        finally:
            self._resumption.session_ended(session)

    @property
    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """The calls that are running, of all sessions."""
        return frozenset[asyncio.Task[None]]().union(*(it.tasks for it in self._sessions))

    def announce(self, notice: pb.Notice) -> None:
        """Send a notice to every session."""
        for session in self._sessions:
            session.notify(notice)

    def put_load(self, ref_id: str, engine: object, load: bytes) -> None:
        """Have every session that may use an engine take its load along."""
        self._loads[ref_id] = engine, load
        for session in self._sessions:
            if session.sees(engine):
                session.put_load(ref_id, load)

    def forget_load(self, ref_id: str) -> None:
        """An engine has been shut down."""
        del self._loads[ref_id]

    def send_loads(self) -> None:
        """Send loads to the sessions to which no frame has left since the last call."""
        for session in self._sessions:
            session.send_loads()

    def stop_calls(self, reason: BridgeError) -> None:
        """End every call that is still running, and say why."""
        for session in list(self._sessions):
            session.stop_calls(reason)
