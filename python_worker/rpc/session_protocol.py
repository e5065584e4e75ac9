"""One connection of the sessions' listener: bytes to frames and back.

It is on the event loop's own transport: what comes is acted on in the turn in
which it comes. What is answered then leaves at once in one frame, and what else
a turn brings leaves at its end in another. The first message has to be the
client's hello. Whoever calls another method, such as a health probe that has the
wrong one of the two addresses, is told where gRPC is served: that one costs each
message two more threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from google.protobuf.message import DecodeError

from python_worker.buffers import Buffer
from python_worker.exceptions import ProtocolError, Unauthenticated
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.process import large_work
from python_worker.rpc.preface import advice, end_with
from python_worker.rpc.session import Session, failure_frame
from python_worker.rpc.sessions import ClientConnection, Sessions, first_frame
from python_worker.rpc.tls_clients import peer_of
from python_worker.wire import client_frames, grpc_messages
from python_worker.wire.http2 import Http2
from python_worker.wire.http2_frames import Code, ProtocolViolation

logger = logging.getLogger(__name__)

# Up to this size parts are joined and written once; beyond it, writing each is cheaper than a copy.
JOINED_BYTES = 64 * 1024

# How many bytes of answers (to pings, settings and the like) may wait for a client that does not
# read, beside the data. Tens of thousands of such frames are no accident.
MAX_UNREAD_BYTES = 1024 * 1024

# Connections that send no hello in this time are closed. gRPC gives its clients 120 s.
HELLO_SECONDS = 120.0

# A frame of fewer bytes is carried out as a whole: it holds few calls.
AT_ONCE_BYTES = 4 * 1024

# How many frames of one read are carried out at once: each takes some 15 µs, and a read may hold
# thousands. The others wait for turns of the loop.
AT_ONCE_FRAMES = 128

_DONE = object()


class SessionProtocol(asyncio.Protocol):
    """One client.

    Args:
        sessions: All clients that hold a session; this one joins them with its hello.
        connections: Where this one is as long as it lasts.
        grpc_address: Where the worker serves gRPC; empty for nowhere.
    """

    def __init__(
        self, sessions: Sessions, connections: set[SessionProtocol], grpc_address: str
    ) -> None:
        self._sessions = sessions
        self._connections = connections
        self._grpc_address = grpc_address
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._http2 = Http2(grpc_messages.RESPONSE)
        self._messages = grpc_messages.MessageReader()
        self._session: Session | None = None
        # Messages that have come, and the rest of the one that is being carried out.
        self._waiting: deque[Buffer] = deque()
        self._turns: Iterator[None] | None = None
        self._reading_paused = False
        self._hello_timer = self._loop.call_later(HELLO_SECONDS, self._expire)
        self._flush_planned = self._receiving = False
        # The transport's buffer is full; or nothing more is to be sent.
        self._paused = self._over = False
        # Bytes of answers since the buffer was full.
        self._unread = 0
        self._emptied: asyncio.Future[None] | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()

    # -- For the transport ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the settings, with which a connection of HTTP/2 begins."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._http2.preface())
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Act on what came; see ``Http2.receive``."""
        self._act(lambda: self._receive(data))

    def _act(self, action: Callable[[], None]) -> None:
        """Do something that the client caused, and answer, or say what was wrong with it."""
        if self._over:
            return
        http2 = self._http2
        self._receiving = True
        try:
            action()
        except ProtocolViolation as error:
            self._leave(http2.goaway(error.code, error.reason), f"broke HTTP/2: {error.reason}")
        except grpc_messages.RpcStatus as error:
            self._finish(error.status, error.message)
        except DecodeError as error:
            self._finish(grpc_messages.INTERNAL, f"a frame that is no ClientFrame: {error}")
        except Unauthenticated as error:
            self._refuse(error, grpc_messages.UNAUTHENTICATED)
        except ProtocolError as error:
            self._refuse(error, grpc_messages.FAILED_PRECONDITION)
        finally:
            self._receiving = False
        if self._over:
            return
        if http2.answers:
            self._answer()
        if http2.flow_control.blocked and not self._paused:
            self._write(http2.flow_control.resume())
        if not (self._flush_planned or http2.reset):
            # What has its answer already does not wait for another turn of the loop.
            self._flush()
        if (http2.ended or http2.reset) and not self._busy:
            self._end_request()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: keep replies in the session meanwhile."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has read: send what was kept."""
        self._paused = False
        self._unread = 0
        if not self._over:
            self._write(self._http2.flow_control.resume())
            self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """End what the client has: its calls and its references."""
        self._over = True
        self._hello_timer.cancel()
        self._connections.discard(self)
        if self._session is not None:
            self._sessions.close(self._session)
        self._lost.set_result(None)
        self._tell_emptied()

    # -- For the server ------------------------------------------------------------------------

    async def stop(self, seconds: float) -> None:
        """Wait until what was sent has been read, at most so many seconds, and close."""
        if self._over:
            return
        deadline = self._loop.time() + seconds
        if self._unsent:
            self._emptied = self._loop.create_future()
            await asyncio.wait({self._emptied}, timeout=seconds)
        if not self._over:
            self._finish(grpc_messages.UNAVAILABLE, "the worker has stopped")
        # The client closes when it has read that. What it has not is lost when the process ends.
        await asyncio.wait({self._lost}, timeout=deadline - self._loop.time())
        self._transport.close()

    # -- Receiving -----------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        left = AT_ONCE_FRAMES
        for piece in self._http2.receive(data):
            for message in self._messages.push(piece):
                if self._session is not None and self._is_at_once(message, left):
                    left -= 1
                    self._session.accept(pb.ClientFrame.FromString(bytes(message)))
                else:
                    self._waiting.append(message)
            if self._waiting and self._turns is None and left:
                self._work()
        if self._waiting and self._turns is None:
            self._work()
        if self._turns is None and large_work.is_over(self._loop):
            # libuv reads many times in one turn of the loop while there is something to read.
            self._turns = iter(())
            self._plan_work()

    def _is_at_once(self, message: Buffer, left: int) -> bool:
        """Whether a message is carried out before any other work; never before an earlier one."""
        return (
            left > 0 and self._turns is None and not self._waiting and len(message) < AT_ONCE_BYTES
        )

    @property
    def _busy(self) -> bool:
        return self._turns is not None

    def _work(self) -> None:
        """Carry out what has come, for one turn; the rest follows in later turns of the loop."""
        if self._turns is None:
            self._turns = large_work.turns(self._steps())
        if next(self._turns, _DONE) is not _DONE:
            self._plan_work()
            return
        self._turns = None
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def _plan_work(self) -> None:
        self._loop.call_soon(self._act, self._work)
        if not self._reading_paused:
            # Nothing more is read meanwhile: what waits here has no other limit.
            self._reading_paused = True
            self._transport.pause_reading()

    def _steps(self) -> Iterator[None]:
        while self._waiting:
            message = self._waiting.popleft()
            if self._session is None:
                self._open_session(message)
                continue
            parts = client_frames.parse(message)
            del message  # Of 64 MB, each copy that is alive at once is memory that has to be found.
            for part in parts:
                yield from self._session.steps(part)

    def _open_session(self, message: Buffer) -> None:
        try:
            frame = first_frame(message)
        except DecodeError as error:
            raise self._no_session() from error
        if not frame.HasField("hello"):
            raise self._no_session()
        peer = peer_of(self._transport)
        access = self._sessions.admit(frame, peer)
        answer, self._session = self._sessions.open(
            frame.hello,
            access,
            ClientConnection(
                peer, self._wake, self._transport.abort, grpc_address=self._grpc_address
            ),
        )
        self._send([answer.SerializeToString()])
        self._hello_timer.cancel()

    def _no_session(self) -> grpc_messages.RpcStatus:
        reason = f"the first message is not the hello of a session: {advice(self._grpc_address)}"
        logger.warning("refused a call at the sessions' listener: %s", reason)
        return grpc_messages.RpcStatus(grpc_messages.UNIMPLEMENTED, reason)

    def _end_request(self) -> None:
        if self._session is None and not (self._over or self._http2.reset):
            ended = self._no_session()
            self._finish(ended.status, ended.message)
        else:
            self._finish(grpc_messages.OK, "")

    def _expire(self) -> None:
        reason = f"no hello of a session in {HELLO_SECONDS:.0f} s"
        self._leave(self._http2.goaway(Code.NO_ERROR, reason), f"sent {reason}")

    def _answer(self) -> None:
        answers = bytes(self._http2.answers)
        self._http2.answers.clear()
        if self._paused:
            self._unread += len(answers)
        if self._unread > MAX_UNREAD_BYTES:
            reason = "too many answers are waiting to be read"
            goaway = self._http2.goaway(Code.ENHANCE_YOUR_CALM, reason)
            self._leave(goaway, "sends frames that have to be answered, and does not read")
            return
        self._transport.write(answers)

    # -- Sending -------------------------------------------------------------------------------

    def _wake(self) -> None:
        # At the end of this turn of the loop, so that one frame takes all that it brings.
        if not (self._flush_planned or self._receiving):
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    @property
    def _unsent(self) -> bool:
        session = self._session
        return self._http2.flow_control.blocked or (session is not None and session.filled)

    def _flush(self) -> None:
        self._flush_planned = False
        session = self._session
        if session is None or self._over:
            return
        while not self._paused and not self._http2.flow_control.blocked and session.filled:
            self._send(session.next_frame())
        if not self._unsent:
            self._tell_emptied()

    def _send(self, frame: Sequence[Buffer]) -> None:
        prefix = grpc_messages.prefix(sum(map(len, frame)))
        self._write(self._http2.flow_control.send([prefix, *frame]))

    def _write(self, parts: list[Buffer]) -> None:
        if self._http2.answers:  # headers come before data
            self._answer()
        if not parts or self._over:
            return
        if sum(map(len, parts)) <= JOINED_BYTES:
            self._transport.write(b"".join(parts))
        else:
            self._transport.writelines(parts)

    def _tell_emptied(self) -> None:
        if self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    # -- Ending --------------------------------------------------------------------------------

    def _refuse(self, error: ProtocolError, status: int) -> None:
        logger.warning("session refused: %s", error)
        self._send([failure_frame(error)])
        self._finish(status, str(error))

    def _finish(self, status: int, message: str) -> None:
        http2 = self._http2
        said = bytes(http2.answers)
        if http2.requested and not http2.reset:
            said += http2.finish(grpc_messages.trailers(status, message))
        self._leave(said + http2.goaway(Code.NO_ERROR), "")

    def _leave(self, said: bytes, why: str) -> None:
        """Send a final message and stop reading. Idempotent."""
        if self._over:
            return
        if why:
            logger.warning("closed the connection of a client that %s", why)
        self._over = True
        self._hello_timer.cancel()
        end_with(self._transport, said)
        if self._session is not None:
            self._sessions.close(self._session)
        self._tell_emptied()
