"""The connection of one client that holds a session: bytes to frames and back.

It is on the event loop's own transport: what comes is acted on in the turn in
which it comes. What is answered then leaves at once in one frame, and what else
a turn brings leaves at its end in another. Clients
of any other kind are served by gRPC (see ``door``), which costs each message
two more threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import cast

from google.protobuf.message import DecodeError

from python_worker.buffers import Buffer
from python_worker.exceptions import BadToken, ProtocolError
from python_worker.rpc.session import Session, failure_frame
from python_worker.rpc.sessions import Sessions
from python_worker.wire import client_frames, grpc_messages
from python_worker.wire.http2 import Http2
from python_worker.wire.http2_frames import Code, ProtocolViolation

logger = logging.getLogger(__name__)

# What is written at once in one piece; beyond it, writing the pieces is cheaper than a copy.
JOINED_BYTES = 64 * 1024

# What may wait of answers to a client that asks and does not read, beside the data that it does
# not read. Tens of thousands of them are no accident.
MAX_UNREAD_BYTES = 1024 * 1024

# How long a client that is refused has to read why and close.
LINGER_SECONDS = 5.0


class SessionProtocol(asyncio.Protocol):
    """One client.

    Args:
        clients: Where it has its session, once it has said hello.
        connections: Where this one is as long as it lasts.
    """

    def __init__(self, clients: Sessions, connections: set[SessionProtocol]) -> None:
        self._clients = clients
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._http2 = Http2(grpc_messages.RESPONSE)
        self._messages = grpc_messages.MessageReader()
        self._session: Session | None = None
        self._flush_planned = self._receiving = False
        # The transport holds enough; or nothing more is to be said.
        self._paused = self._over = False
        # What was answered since then.
        self._unread = 0
        self._emptied: asyncio.Future[None] | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()

    # -- For the transport ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what HTTP/2 wants said first."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._http2.preface())
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Act on what came; see ``Http2.receive``."""
        if self._over:
            return
        http2 = self._http2
        self._receiving = True
        try:
            for piece in http2.receive(data):
                messages = self._messages.push(piece)
                messages.reverse()
                while messages:
                    self._take(messages.pop())
        except ProtocolViolation as error:
            self._leave(http2.goaway(error.code, error.reason), f"broke HTTP/2: {error.reason}")
        except grpc_messages.RpcStatus as error:
            self._finish(error.status, error.message)
        except DecodeError as error:
            self._finish(grpc_messages.INTERNAL, f"a frame that is no ClientFrame: {error}")
        except BadToken as error:
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
        if http2.ended or http2.reset:
            self._finish(grpc_messages.OK, "")

    def pause_writing(self) -> None:
        """The client reads more slowly than we write: what is to be sent gathers meanwhile."""
        self._paused = True

    def resume_writing(self) -> None:
        """It has read."""
        self._paused = False
        self._unread = 0
        if not self._over:
            self._write(self._http2.flow_control.resume())
            self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone, with everything it had."""
        self._over = True
        self._connections.discard(self)
        if self._session is not None:
            self._clients.close(self._session)
        self._lost.set_result(None)
        self._tell_emptied()

    # -- For the server ------------------------------------------------------------------------

    async def stop(self, seconds: float) -> None:
        """Let what was said be read, and close; not longer than so many seconds."""
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

    def _take(self, message: bytes) -> None:
        frame, arguments = client_frames.parse(message)
        del message  # Of 64 MB, each copy that is alive at once is memory that has to be found.
        if self._session is not None:
            self._session.accept(frame, arguments)
            return
        hello = self._clients.greet(frame)
        self._send([hello.SerializeToString()])
        self._session = self._clients.open(frame.hello, self._wake)

    def _answer(self) -> None:
        answers = bytes(self._http2.answers)
        self._http2.answers.clear()
        if self._paused:
            self._unread += len(answers)
        if self._unread > MAX_UNREAD_BYTES:
            reason = "too much is asked that is not read"
            goaway = self._http2.goaway(Code.ENHANCE_YOUR_CALM, reason)
            self._leave(goaway, "asks and does not read")
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
        """Say something last, and take nothing more; once."""
        if self._over:
            return
        if why:
            logger.warning("a client is left: it %s", why)
        self._over = True
        self._transport.write(said)
        # Closed at once, TCP would throw away what the client has not read.
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.abort)
        if self._session is not None:
            self._clients.close(self._session)
        self._tell_emptied()
