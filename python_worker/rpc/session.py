"""One client: its calls, and their replies gathered into few frames.

A gRPC message costs 30 to 60 µs of Python whatever it carries, which is more
than a token costs. So replies are collected while the loop turns, and one
frame takes all that are there when the last frame has left: at 256 streams
that is about fifty replies a frame, and at one stream it adds no wait.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from python_worker import PROTOCOL_VERSION, failures
from python_worker.buffers import Buffer
from python_worker.dispatch import unreceived
from python_worker.dispatch.access import EVERYTHING, Access
from python_worker.dispatch.call import NO_ARGUMENTS, Call, Start
from python_worker.dispatch.references import References
from python_worker.exceptions import BridgeError, Cancelled, ProtocolError
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.input_stream import InputStream
from python_worker.streaming.reply_sink import ReplyReferences
from python_worker.wire import server_frames
from python_worker.wire.client_frames import NOTHING, LargeArguments, Part

logger = logging.getLogger(__name__)

# A frame ends after the reply that exceeds this, even when more wait, so that a
# client sees the first of many large values before the last has been sent.
MAX_FRAME_BYTES = 4 * 1024 * 1024


def check_hello(hello: pb.ClientHello) -> None:
    """Refuse a client of another protocol.

    Raises:
        ProtocolError: The protocol versions differ; both are named.
    """
    if hello.protocol_version != PROTOCOL_VERSION:
        raise ProtocolError(
            f"the client speaks protocol version {hello.protocol_version}, the worker "
            f"{PROTOCOL_VERSION}: install the same release of both sides",
            client=hello.protocol_version,
            worker=PROTOCOL_VERSION,
        )


class SessionSink(ReplyReferences):
    """Sends the replies of one call through its session, on credit."""

    def __init__(self, session: Session, call_id: int, credit: int) -> None:
        self._session = session
        self._call_id = call_id
        self._call_field = server_frames.call_field(call_id)
        self._credit = credit
        # Made when somebody waits: an Event for each stream would be a tenth of its memory.
        self._more: asyncio.Future[None] | None = None

    def send(self, reply: pb.CallReply) -> None:
        """Put a reply of this call into the next frame."""
        reply.call = self._call_id
        self._session.enqueue(server_frames.reply(reply))

    def send_value(self, parts: Sequence[Buffer], *, built: bool = False) -> None:
        """Put the value of this call into the next frame."""
        if self._references is not None:
            self._send_references(server_frames.VALUE, parts, built=built)
        elif len(parts) == 1 and len(parts[0]) < MAX_FRAME_BYTES:
            self._session.enqueue(server_frames.value(self._call_field, parts))
        elif sum(map(len, parts)) < MAX_FRAME_BYTES or memoryview in map(type, parts):
            # A view may be changed before it is sent, so it is copied.
            self._session.enqueue(server_frames.value(self._call_field, parts))
        else:
            self._session.enqueue_large(server_frames.value_parts(self._call_field, parts))

    def send_item(self, item: bytes) -> None:
        """Put an item of this call into the next frame."""
        if self._references is None:
            self._session.enqueue(server_frames.item(self._call_field, item))
        else:
            self._send_references(server_frames.ITEM, [item])

    def _send_references(
        self, field: bytes, parts: Sequence[Buffer], *, built: bool = False
    ) -> None:
        references = self.take_references()
        self._session.enqueue(
            server_frames.with_references(field, self._call_field, parts, references, built=built)
        )

    def take_place(self) -> bool:
        """Take one item's worth of credit, if there is any."""
        if self._credit == 0:
            return False
        self._credit -= 1
        return True

    def return_place(self) -> None:
        """Give one item's worth of credit back."""
        self._credit += 1

    async def wait_place(self) -> None:
        """Wait for credit and take one item's worth of it."""
        while not self.take_place():
            self._more = asyncio.get_running_loop().create_future()
            await self._more

    def grant(self, items: int) -> None:
        """Let the stream send more items."""
        self._credit += items
        if self._more is not None and not self._more.done():
            self._more.set_result(None)

    def route_inputs(self, inputs: InputStream) -> None:
        """Have the client's inputs of this call put into ``inputs``."""
        self._session.inputs[self._call_id] = inputs


class Session:
    """The calls of one client.

    It is also the holder of the references that these calls return.

    Args:
        start: Begins a call.
        references: Where the client's references are kept.
        wake: Called when there is something to send, and there was nothing before.
        access: What the client may do.

    Attributes:
        inputs: Arguments that are streams, by call; what reads them keeps them.
        leaving: Whether the client has said that it does not come back.
    """

    def __init__(
        self,
        *,
        start: Start,
        references: References,
        wake: Callable[[], None],
        access: Access = EVERYTHING,
    ) -> None:
        self._start_call = start
        self._access = access
        self._references = references
        self._calls: dict[int, tuple[Call, SessionSink]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self.inputs: weakref.WeakValueDictionary[int, InputStream] = weakref.WeakValueDictionary()
        self.leaving = False
        self._last_id = 0
        # What the next frames will hold, serialized.
        self._elements: list[bytes] = []
        # Large values that are not joined: where they stand an element is empty, in this order.
        self._large: deque[list[Buffer]] = deque()
        # The loads that the next frame takes along, by engine; whether they are worth a frame.
        self._loads: dict[str, bytes] = {}
        self._loads_due = False
        self._frames = self._frames_before = 0
        self._wake = wake

    @property
    def tasks(self) -> frozenset[asyncio.Task[None]]:
        """The calls that are running."""
        return frozenset(self._tasks.values())

    def enqueue(self, element: bytes) -> None:
        """Put a reply or notice, as ``wire.server_frames`` makes it, into the next frame."""
        self._elements.append(element)
        if len(self._elements) == 1:
            self._wake()

    def enqueue_large(self, parts: list[Buffer]) -> None:
        """Put a reply that is too large to be joined into a frame of its own."""
        self._large.append(parts)
        self.enqueue(b"")

    def notify(self, notice: pb.Notice) -> None:
        """Put a notice into the next frame."""
        self.enqueue(server_frames.notice(notice))

    def put_load(self, ref_id: str, load: bytes) -> None:
        """Have the next frame take along the load of an engine, in place of an earlier one."""
        self._loads[ref_id] = load

    def sees(self, engine: object) -> bool:
        """Whether the client may use an engine."""
        return self._access.sees(engine)

    def send_loads(self) -> None:
        """Send the loads in a frame of their own if no frame has left since the last call."""
        if self._loads and not self._elements and self._frames == self._frames_before:
            self._loads_due = True
            self._wake()
        self._frames_before = self._frames

    def accept(self, frame: pb.ClientFrame) -> None:
        """Carry out one frame of the client at once; see ``steps``."""
        # Nearly every frame holds calls, or credit, and little of it.
        if not (frame.inputs or frame.cancels or frame.releases or frame.receipts or frame.leaving):
            for start in frame.calls:
                self._start(start, NOTHING)
            for credit in frame.credits:
                if running := self._calls.get(credit.call):
                    running[1].grant(credit.items)
            return
        for _ in self.steps(Part(frame)):
            pass

    def steps(self, part: Part) -> Iterator[None]:
        """Carry out a part of a frame, one step at a time.

        A frame of 64 kB may hold thousands of calls, and takes a second then.

        Args:
            part: What the client sent.

        Raises:
            ProtocolError: A call's id is zero or was used before, or an input
                was not asked for.
        """
        frame = part.frame
        for start in frame.calls:
            self._start(start, part.arguments)
            yield
        for credit in frame.credits:
            if running := self._calls.get(credit.call):
                running[1].grant(credit.items)
            yield
        for place, step in enumerate(frame.inputs):
            if inputs := self.inputs.get(step.call):
                inputs.put(step, part.elements.get(place))
            yield
        for call_id in frame.cancels:
            if running := self._calls.get(call_id):
                running[0].stop(Cancelled("the client cancelled the call"))
            yield
        for ref_id in frame.releases:
            self._references.release(ref_id, self)
            yield
        for ref_id in frame.receipts:
            self._references.receive(ref_id, self)
            yield
        if frame.leaving:
            self.leaving = True

    @property
    def filled(self) -> bool:
        """Whether there is something to send."""
        return bool(self._elements) or self._loads_due

    def next_frame(self) -> Sequence[Buffer]:
        """What the next frame holds, to be joined; a ServerFrame is nothing more."""
        self._frames += 1
        if self._loads:
            self._elements = [*self._loads.values(), *self._elements]
            self._loads.clear()
            self._loads_due = False
        elements, size = self._elements, 0
        if self._large:
            return self._next_with_large()
        for count, element in enumerate(elements, start=1):
            size += len(element)
            if size > MAX_FRAME_BYTES:
                self._elements = elements[count:]
                return elements[:count]
        self._elements = []
        return elements

    def _next_with_large(self) -> Sequence[Buffer]:
        place = self._elements.index(b"")
        frame = self._elements[:place]
        if frame:
            self._elements = self._elements[place:]
            return frame
        self._elements = self._elements[1:]
        return self._large.popleft()

    def stop_calls(self, reason: BridgeError) -> None:
        """End every call that is still running, and say why."""
        for call, _ in list(self._calls.values()):
            call.stop(reason)

    async def close(self) -> None:
        """Stop every call. What the client built and has sent no receipt for is shut down.

        The references are released by ``resumption``, at once or later.
        """
        self.stop_calls(Cancelled("the client is gone"))
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for inputs in list(self.inputs.values()):
            inputs.close(Cancelled("the client is gone"))
        unreceived.shut_down(self._references, self._start_call, self)
        # Nobody reads what was not sent. The connection may hold half of a large message, and this
        # session may be kept for long: see ``resumption``.
        self._elements.clear()
        self._large.clear()
        self._wake = _nothing

    def _start(self, start: pb.StartCall, arguments: Mapping[int, LargeArguments]) -> None:
        call_id = start.id
        if call_id <= self._last_id:
            raise ProtocolError(
                f"call id {call_id} is not above {self._last_id}, the last one: "
                "ids are counted up from 1"
            )
        self._last_id = call_id
        sink = SessionSink(self, call_id, start.credit)
        call = Call(
            start.request,
            sink,
            holder=self,
            large=arguments.get(call_id, NO_ARGUMENTS),
            access=self._access,
        )
        task = self._start_call(call)
        if task is not None:
            self._calls[call_id] = (call, sink)
            self._tasks[call_id] = task
            task.add_done_callback(functools.partial(self._ended, call_id))

    def _ended(self, call_id: int, _task: asyncio.Task[None]) -> None:
        del self._tasks[call_id]
        del self._calls[call_id]


def failure_frame(error: BridgeError) -> bytes:
    """The frame that ends a session."""
    return pb.ServerFrame(failure=failures.to_proto(error)).SerializeToString()


def _nothing() -> None:
    """What a session that is closed does where an open one wakes its connection."""
