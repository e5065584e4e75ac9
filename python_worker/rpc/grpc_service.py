"""The gRPC methods of the bridge: ``Session``, ``Call`` and ``Stream``.

Each is a few lines of orchestration around ``Session`` and ``Call`` objects.
``Session`` is the one the Elixir client uses, over the sessions' listener
(``session_protocol``); here gRPC serves it to any other client. The other two give
the same methods to any gRPC client, one call at a time.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import grpc

from python_worker import exceptions
from python_worker.buffers import Buffer
from python_worker.dispatch.call import Call, Start
from python_worker.dispatch.references import Holder
from python_worker.exceptions import BadToken, BridgeError, ProtocolError, Unsupported
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.generated.vllm_bridge.v1 import service_pb2
from python_worker.rpc.addresses import Addresses
from python_worker.rpc.session import Session, failure_frame
from python_worker.rpc.sessions import Sessions
from python_worker.streaming.input_stream import InputStream

logger = logging.getLogger(__name__)

SERVICE = service_pb2.DESCRIPTOR.services_by_name["Bridge"].full_name

ANYONE: Holder = "clients without a session"

Frames = grpc.aio.ServicerContext[pb.ClientFrame, bytes]
Replies = grpc.aio.ServicerContext[pb.CallRequest, pb.CallReply]


class Bridge:
    """Serves one dispatcher to any gRPC client.

    Args:
        sessions: All clients that hold a session.
        start: Begins a call that is made without a session.
        token: What clients must present; empty for none.
        addresses: Where the worker listens, for the hello of a session.
    """

    def __init__(
        self, sessions: Sessions, *, start: Start, token: str, addresses: Addresses
    ) -> None:
        self._sessions = sessions
        self._addresses = addresses
        self._start_call = start
        self._token = token
        self._single_calls: dict[Call, asyncio.Task[None]] = {}

    # --- The three methods -----------------------------------------------------

    async def Session(
        self, request_iterator: AsyncIterator[pb.ClientFrame], context: Frames
    ) -> None:
        """Serve one client until it leaves or breaks the protocol."""
        try:
            await self._serve(request_iterator, context)
        except BadToken as error:
            await self._refuse(error, grpc.StatusCode.UNAUTHENTICATED, context)
        except ProtocolError as error:
            await self._refuse(error, grpc.StatusCode.FAILED_PRECONDITION, context)

    async def Call(self, request: pb.CallRequest, context: Replies) -> pb.CallReply:
        """Run one call to its end."""
        await self._authenticate(context)
        sink = SingleReply()
        await self._run(request, sink)
        return sink.reply

    async def Stream(
        self, request: pb.CallRequest, context: Replies
    ) -> AsyncIterator[pb.CallReply]:
        """Run one call and yield its replies as they come."""
        await self._authenticate(context)
        sink = ReplyQueue()
        running = asyncio.ensure_future(self._run(request, sink))
        running.add_done_callback(lambda _: sink.close())
        try:
            async for reply in sink:
                yield reply
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    # --- For the server --------------------------------------------------------

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """The three methods with their messages, for a gRPC server.

        Written here and not taken from the generated code, because a Session
        writes frames that are bytes already (see ``wire.server_frames``).
        """
        methods = {
            "Session": grpc.stream_stream_rpc_method_handler(
                self.Session, request_deserializer=pb.ClientFrame.FromString
            ),
            "Call": grpc.unary_unary_rpc_method_handler(
                self.Call, pb.CallRequest.FromString, pb.CallReply.SerializeToString
            ),
            "Stream": grpc.unary_stream_rpc_method_handler(
                self.Stream, pb.CallRequest.FromString, pb.CallReply.SerializeToString
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    @property
    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """The calls that are running, of all clients."""
        return frozenset(self._single_calls.values()) | self._sessions.tasks

    async def wait_idle(self, seconds: float) -> None:
        """Wait until no call is running, but not longer than so many seconds."""
        if tasks := self.tasks:
            await asyncio.wait(tasks, timeout=seconds)

    def stop_calls(self, reason: BridgeError) -> None:
        """End every call that is still running, and say why."""
        for call in list(self._single_calls):
            call.stop(reason)
        self._sessions.stop_calls(reason)

    # --- Sessions --------------------------------------------------------------

    async def _serve(self, frames: AsyncIterator[pb.ClientFrame], context: Frames) -> None:
        first = await anext(aiter(frames), None)
        scheme = "unix" if context.peer().startswith("unix:") else "tcp"
        greeting = self._sessions.greet(
            first or pb.ClientFrame(), session_address=self._addresses.sessions_beside(scheme)
        )
        await context.write(greeting.SerializeToString())
        assert first is not None
        filled = asyncio.Event()
        session = self._sessions.open(first.hello, filled.set)
        sender = asyncio.ensure_future(send_frames(session, filled, context))
        try:
            async for frame in frames:
                session.accept(frame)
        finally:
            # gRPC cancels this task more than once when its client is gone, so
            # what has to be done is done by another.
            sender.cancel()
            await asyncio.shield(self._sessions.close(session))

    async def _refuse(self, error: ProtocolError, status: grpc.StatusCode, context: Frames) -> None:
        logger.warning("session refused: %s", error)
        await context.write(failure_frame(error))
        await context.abort(status, str(error))

    # --- Single calls ----------------------------------------------------------

    async def _authenticate(self, context: Replies) -> None:
        metadata = dict(context.invocation_metadata() or ())
        given = str(metadata.get("authorization", "")).removeprefix("Bearer ")
        if self._token and not hmac.compare_digest(given.encode(), self._token.encode()):
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "metadata `authorization: Bearer TOKEN` is missing or wrong",
            )

    async def _run(self, request: pb.CallRequest, sink: SingleReply | ReplyQueue) -> None:
        call = Call(request, sink, holder=ANYONE)
        sink.call = call
        task = self._start_call(call)
        if task is None:
            return
        self._single_calls[call] = task
        try:
            # Unlike a shield, this is only ended by our own cancellation, not
            # by that of a call which was stopped before it ran.
            await asyncio.wait({task})
        except asyncio.CancelledError:
            call.stop(exceptions.Cancelled("the client is gone"))
            await asyncio.wait({task})
            raise
        finally:
            del self._single_calls[call]


async def send_frames(session: Session, filled: asyncio.Event, context: Frames) -> None:
    """Send what a session has to say, until its client takes no more."""
    try:
        while await filled.wait():
            filled.clear()
            while session.filled:
                await context.write(b"".join(session.next_frame()))
    except Exception as error:
        logger.warning("a session could not be written to: %r", error)


class SingleReply:
    """Keeps the one reply of a call that returns; stops a call that streams."""

    call: Call

    def __init__(self) -> None:
        self.reply = pb.CallReply()

    def send(self, reply: pb.CallReply) -> None:
        """Keep the last reply of the call."""
        outcome = reply.WhichOneof("outcome")
        if outcome in ("value", "failure"):
            self.reply = reply
        elif outcome != "progress":  # which a single reply has no place for
            method = self.call.request.method
            self.call.stop(Unsupported(f"{method} streams: use the Stream rpc"))

    def send_value(self, parts: Sequence[Buffer]) -> None:
        """Keep the value of the call."""
        self.reply = pb.CallReply(value=b"".join(parts))

    def send_item(self, item: bytes) -> None:
        """Never called: a stream is stopped when it is accepted."""

    def take_place(self) -> bool:
        """A call that returns sends no items."""
        return False

    def return_place(self) -> None:
        """Never called: there are none."""

    async def wait_place(self) -> None:
        """A call that returns sends no items."""
        await asyncio.get_running_loop().create_future()

    def route_inputs(self, inputs: InputStream) -> None:
        """There are no inputs."""
        refuse_inputs()


def refuse_inputs() -> NoReturn:
    """The one request of a single call has no place for what comes later."""
    raise Unsupported("an argument that is a stream needs a Session: it alone carries inputs")


class ReplyQueue:
    """Hands replies to the gRPC stream, one item at a time.

    gRPC takes the next reply when HTTP/2 has room for it, so this bound of one
    item is the client's flow control.
    """

    call: Call

    def __init__(self) -> None:
        self._queue: asyncio.Queue[pb.CallReply | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()

    def send(self, reply: pb.CallReply) -> None:
        """Put a reply behind the others."""
        self._queue.put_nowait(reply)

    def send_value(self, parts: Sequence[Buffer]) -> None:
        """Put a value behind the others."""
        self.send(pb.CallReply(value=b"".join(parts)))

    def send_item(self, item: bytes) -> None:
        """Put an item behind the others."""
        self.send(pb.CallReply(item=item))

    def take_place(self) -> bool:
        """Take the one place, if gRPC has taken the item before."""
        if not self._room.is_set():
            return False
        self._room.clear()
        return True

    def return_place(self) -> None:
        """Give the one place back."""
        self._room.set()

    async def wait_place(self) -> None:
        """Wait until gRPC has taken the item before."""
        await self._room.wait()
        self._room.clear()

    def route_inputs(self, inputs: InputStream) -> None:
        """There are no inputs."""
        refuse_inputs()

    def close(self) -> None:
        """End the iteration after what has been sent."""
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[pb.CallReply]:
        while (reply := await self._queue.get()) is not None:
            yield reply
            if reply.WhichOneof("outcome") == "item":
                self._room.set()
