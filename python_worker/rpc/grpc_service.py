"""The gRPC methods of the bridge: ``Session``, ``Call`` and ``Stream``.

Each is a few lines of orchestration around ``Session`` and ``Call`` objects.
``Session`` is the one the Elixir client uses, over the sessions' listener
(``session_protocol``); here gRPC serves it to any other client. The other two give
the same methods to any gRPC client, one call at a time.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from python_worker import exceptions
from python_worker.dispatch import unreceived
from python_worker.dispatch.access import Access
from python_worker.dispatch.call import Call, Start
from python_worker.dispatch.references import Holder, References
from python_worker.exceptions import BridgeError, ProtocolError, Unauthenticated
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.generated.vllm_bridge.v1 import service_pb2
from python_worker.process import large_work
from python_worker.rpc.addresses import Addresses
from python_worker.rpc.certificates import names_in
from python_worker.rpc.grpc_replies import ReplyQueue, SingleReply
from python_worker.rpc.roles import Admission, Peer
from python_worker.rpc.session import Session, failure_frame
from python_worker.rpc.sessions import ClientConnection, Sessions, first_frame
from python_worker.wire import client_frames
from python_worker.wire.client_frames import LargeArguments

logger = logging.getLogger(__name__)

SERVICE = service_pb2.DESCRIPTOR.services_by_name["Bridge"].full_name

ANYONE: Holder = "clients without a session"

Request = tuple[pb.CallRequest, LargeArguments]
"""A request, and the large arguments that were left out of it."""

Frames = grpc.aio.ServicerContext[bytes, bytes]
Replies = grpc.aio.ServicerContext[bytes, pb.CallReply]


class Bridge:
    """Serves one dispatcher to any gRPC client.

    Args:
        sessions: All clients that hold a session.
        start: Begins a call that is made without a session.
        references: Where the references of such calls are kept, for ``ANYONE``.
        admission: Decides who is let in.
        addresses: Where the worker listens, for the hello of a session.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        start: Start,
        references: References,
        admission: Admission,
        addresses: Addresses,
    ) -> None:
        self._sessions = sessions
        self._references = references
        self._addresses = addresses
        self._start_call = start
        self._admission = admission
        self._single_calls: dict[Call, asyncio.Task[None]] = {}

    # --- The three methods -----------------------------------------------------

    async def Session(self, request_iterator: AsyncIterator[bytes], context: Frames) -> None:
        """Serve one client until it leaves or breaks the protocol."""
        try:
            await self._serve(request_iterator, context)
        except DecodeError as error:
            await context.abort(
                grpc.StatusCode.INTERNAL, f"a frame that is no ClientFrame: {error}"
            )
        except Unauthenticated as error:
            await self._refuse(error, grpc.StatusCode.UNAUTHENTICATED, context)
        except ProtocolError as error:
            await self._refuse(error, grpc.StatusCode.FAILED_PRECONDITION, context)

    async def Call(self, request: bytes, context: Replies) -> pb.CallReply:
        """Run one call to its end."""
        access = await self._authenticate(context)
        sink = SingleReply()
        try:
            await self._run(await self._parsed(request, context), sink, access)
        except asyncio.CancelledError:
            self._release([sink.reply])
            raise
        self._receive(sink.reply)
        return sink.reply

    async def Stream(self, request: bytes, context: Replies) -> AsyncIterator[pb.CallReply]:
        """Run one call and yield its replies as they come."""
        access = await self._authenticate(context)
        sink = ReplyQueue()
        parsed = await self._parsed(request, context)
        running = asyncio.ensure_future(self._run(parsed, sink, access))
        running.add_done_callback(lambda _: sink.close())
        writing: list[pb.CallReply] = []
        try:
            async for reply in sink:
                writing = [reply]
                yield reply
                self._receive(reply)
                writing = []
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            self._release([*writing, *sink.left()])

    # --- For the server --------------------------------------------------------

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """The three methods with their messages, for a gRPC server.

        Written here and not taken from the generated code, because a Session
        writes frames that are bytes already (see ``wire.server_frames``), and
        gRPC would parse a large message on the loop, in one call.
        """
        methods = {
            "Session": grpc.stream_stream_rpc_method_handler(self.Session),
            "Call": grpc.unary_unary_rpc_method_handler(
                self.Call, response_serializer=pb.CallReply.SerializeToString
            ),
            "Stream": grpc.unary_stream_rpc_method_handler(
                self.Stream, response_serializer=pb.CallReply.SerializeToString
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

    async def _serve(self, frames: AsyncIterator[bytes], context: Frames) -> None:
        first = first_frame(await anext(aiter(frames), b""))
        peer = peer_of(context)
        scheme = "unix" if peer.local else "tcp"
        access = self._sessions.admit(first, peer)
        filled = asyncio.Event()
        serving = asyncio.current_task()
        assert serving is not None
        abandoned = asyncio.Event()

        def abandon() -> None:
            abandoned.set()
            serving.cancel()

        connection = ClientConnection(
            peer,
            filled.set,
            abandon,
            session_address=self._addresses.sessions_beside(scheme),
        )
        answer, session = self._sessions.open(first.hello, access, connection)
        sender: asyncio.Future[None] | None = None
        try:
            await context.write(answer.SerializeToString())
            sender = asyncio.ensure_future(send_frames(session, filled, context))
            async for frame in frames:
                for _ in large_work.turns(steps_of(session, frame)):
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            if not abandoned.is_set():
                raise
            # gRPC would leave the client waiting.
            raise ProtocolError("the client goes on in another session") from None
        finally:
            # gRPC cancels this task more than once when its client is gone, so
            # what has to be done is done by another.
            if sender is not None:
                sender.cancel()
            await asyncio.shield(self._sessions.close(session))

    async def _refuse(self, error: ProtocolError, status: grpc.StatusCode, context: Frames) -> None:
        logger.warning("session refused: %s", error)
        await context.write(failure_frame(error))
        await context.abort(status, str(error))

    # --- Single calls ----------------------------------------------------------

    def _release(self, replies: Iterable[pb.CallReply]) -> None:
        """Release the references of replies that were not written: their client is gone."""
        for reply in replies:
            if reply.built:
                unreceived.shut_down(self._references, self._start_call, ANYONE, reply.references)
            for ref_id in reply.references:
                self._references.release(ref_id, ANYONE)

    def _receive(self, reply: pb.CallReply) -> None:
        """A reply is written: without a session that has to do for a receipt."""
        if reply.built:
            for ref_id in reply.references:
                self._references.receive(ref_id, ANYONE)

    async def _authenticate(self, context: Replies) -> Access:
        metadata = dict(context.invocation_metadata() or ())
        given = str(metadata.get("authorization", "")).removeprefix("Bearer ")
        try:
            return self._admission.admit(given, peer_of(context))
        except Unauthenticated as error:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                f"{error}: send it as the metadata `authorization: Bearer TOKEN`",
            )

    async def _parsed(self, request: bytes, context: Replies) -> Request:
        try:
            return await large_work.run_if_large(
                len(request), functools.partial(client_frames.parse_request, request)
            )
        except DecodeError as error:
            await context.abort(
                grpc.StatusCode.INTERNAL, f"a request that is no CallRequest: {error}"
            )

    async def _run(self, parsed: Request, sink: SingleReply | ReplyQueue, access: Access) -> None:
        request, large = parsed
        call = Call(request, sink, holder=ANYONE, large=large, access=access)
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


def peer_of(context: grpc.aio.ServicerContext[Any, Any]) -> Peer:
    """How the client of a call is connected, and what its certificate says."""
    auth_context = context.auth_context()
    return Peer(
        local=context.peer().startswith("unix:"),
        names=names_in(auth_context),
        certified="x509_pem_cert" in auth_context,
    )


def steps_of(session: Session, frame: bytes) -> Iterator[None]:
    """Carry out a frame, one step at a time."""
    for part in client_frames.parse(frame):
        yield from session.steps(part)


async def send_frames(session: Session, filled: asyncio.Event, context: Frames) -> None:
    """Send what a session has to say, until its client takes no more."""
    try:
        while await filled.wait():
            filled.clear()
            while session.filled:
                await context.write(b"".join(session.next_frame()))
    except Exception as error:
        logger.warning("a session could not be written to: %r", error)
