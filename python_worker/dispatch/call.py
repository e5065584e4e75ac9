"""One call, from its start to its last reply.

Whatever a call can do without waiting is done in the turn of the loop in which it arrives; the rest
is one task. What ends a call early (its client, its deadline, the death of its engine, the drain of
the worker) stops the task with a reason, which is sent to the client. Every call ends with exactly
one last reply: ``value``, ``end`` or ``failure``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable, Sequence
from types import MappingProxyType
from typing import Any

from python_worker import exceptions, failures
from python_worker.buffers import Buffer
from python_worker.dispatch.access import EVERYTHING, Access
from python_worker.dispatch.call_spans import CallSpan
from python_worker.exceptions import Expired, InvalidArgument, Unsupported
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.input_stream import Decode, InputStream
from python_worker.streaming.progress import Progress
from python_worker.streaming.reply_sink import ReplySink
from python_worker.wire.client_frames import LargeArguments

logger = logging.getLogger(__name__)


NO_ARGUMENTS: LargeArguments = MappingProxyType({})

GoingOn = Coroutine[Any, Any, None]
"""What is left to do of a call."""

Perform = Callable[["Call"], GoingOn | None]
"""Carries a call out as far as it goes without waiting; None when that is all."""

Start = Callable[["Call"], asyncio.Task[None] | None]
"""Begins a call and returns the task that goes on with it; None when it is over already."""


class Call:
    """One call of one client.

    Args:
        request: What is called with what.
        sink: Where its replies go.
        holder: Who holds the references that it returns.
        large: Arguments that were left out of the request (see ``wire.client_frames``).
        access: What its client may do.

    Attributes:
        inputs: The argument that is a stream, where there is one.
        span: Its span for OpenTelemetry, where there are spans.
    """

    def __init__(
        self,
        request: pb.CallRequest,
        sink: ReplySink,
        *,
        holder: Hashable,
        large: LargeArguments = NO_ARGUMENTS,
        access: Access = EVERYTHING,
    ) -> None:
        self.request = request
        self.sink = sink
        self.holder = holder
        self.access = access
        self.inputs: InputStream | None = None
        self.span: CallSpan | None = None
        self._large = large
        self._at_end: Callable[[], None] | None = None
        self._returned = False
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._running = False
        self._reason: BaseException | None = None

    def take_arguments(self) -> tuple[Buffer, Buffer]:
        """The bytes of the positional arguments and of those by name; to be read once."""
        request, large = self.request, self._large
        if not large:
            return request.args, request.kwargs
        self._large = NO_ARGUMENTS
        return large.get("args") or request.args, large.get("kwargs") or request.kwargs

    def when_over(self, callback: Callable[[], None]) -> None:
        """Call a function once, when the call is over, however it ended."""
        self._at_end = callback

    def return_value(self, parts: Sequence[Buffer], *, built: bool = False) -> None:
        """Send the last reply, a value. What it returned may go on reading the inputs.

        Args:
            parts: The value, encoded.
            built: See ``CallReply``.
        """
        self._returned = True
        self.sink.send_value(parts, built=built)

    def progress_reporter(self) -> Callable[[Progress], None]:
        """A function that tells the client how far the call has come, from any thread."""
        loop = asyncio.get_running_loop()

        def report(progress: Progress) -> None:
            loop.call_soon_threadsafe(self._report, progress)

        return report

    def _report(self, progress: Progress) -> None:
        # Nothing comes behind the last reply.
        if not (self._returned or self._over):
            self.sink.send(pb.CallReply(progress=progress.to_proto()))

    def go_on(self, going_on: GoingOn) -> asyncio.Task[None]:
        """Run what is left to do, as a task that ends without an exception."""
        self._task = asyncio.get_running_loop().create_task(self._run(going_on))
        return self._task

    def end(self, error: BaseException | None = None) -> None:
        """The call is over; an error is its last reply."""
        self._end(self._reason or error)

    def stop(self, reason: BaseException) -> None:
        """End the call with a reason; a call that has ended is left alone."""
        if self._reason is None and not (self._task is not None and self._task.done()):
            self._reason = reason
            # Cancelled in the turn it was made in, a task never runs a line, and would not answer.
            if self._running and self._task is not None:
                self._task.cancel()

    def open_inputs(self, decode: Decode) -> InputStream:
        """The argument of this call that is a stream.

        Raises:
            InvalidArgument: There is one already.
            Unsupported: The client cannot send inputs.
        """
        if self.inputs is not None:
            raise InvalidArgument("only one argument of a call may be a stream")
        inputs = InputStream(self.sink.send, decode)
        try:
            self.sink.route_inputs(inputs)
        except Unsupported:
            inputs.withdraw()
            raise
        self.inputs = inputs
        return inputs

    def check_inputs(self) -> None:
        """Refuse a stream in a place where only its parts could be checked."""
        if self.inputs is not None and not self.inputs.expected:
            raise InvalidArgument(f"{self.request.method}() takes no stream in this place")

    async def _run(self, going_on: GoingOn) -> None:
        self._running = True
        if self._reason is not None:
            going_on.close()
            self._end(self._reason)
            return
        deadline: asyncio.TimerHandle | None = None
        if self.request.timeout_ms:
            seconds = self.request.timeout_ms / 1000
            deadline = asyncio.get_running_loop().call_later(seconds, self._expire)
        failure: BaseException | None = None
        try:
            await going_on
        except asyncio.CancelledError:
            # Without a reason the whole worker is ending.
            failure = self._reason or exceptions.Cancelled("the worker is stopping")
        except BaseException as error:
            # SystemExit and its like too: a library that calls exit() must not
            # take the worker along. What a stopped method raises on its way
            # out is not the reason.
            failure = self._reason or error
        finally:
            if deadline is not None:
                deadline.cancel()
            self._end(failure)

    def _expire(self) -> None:
        timeout_ms = self.request.timeout_ms
        message = f"{self.request.method} did not end within {timeout_ms} ms"
        self.stop(Expired(message, timeout_ms=timeout_ms))

    def _end(self, error: BaseException | None) -> None:
        self._over = True
        try:
            if error is not None:
                self._fail(error)
        finally:
            if self.inputs is not None and not self._returned:
                self.inputs.call_ended()
            if self._at_end is not None:
                self._at_end()
            if self.span is not None:
                self.span.end(error)

    def _fail(self, error: BaseException) -> None:
        try:
            failure = failures.to_proto(error)
        except Exception:
            # Describing it raises as well; the client still has to get a reply.
            failure = pb.Failure(
                kind=pb.FAILURE_KIND_PYTHON,
                message=f"a {type(error).__name__} that cannot be described",
                type=failures.qualified_name(type(error)),
            )
        if failure.kind == pb.FAILURE_KIND_PYTHON:
            # The message is the client's: it may quote a prompt.
            logger.warning("%s failed with %s", self.request.method, failure.type)
        self.sink.send(pb.CallReply(failure=failure))


def start(call: Call, perform: Perform) -> asyncio.Task[None] | None:
    """Begin a call: carry it out as far as it goes without waiting, and make a task of the rest.

    A task for a call that has nothing to wait for would take two more turns of the loop.
    """
    try:
        going_on = perform(call)
    except BaseException as error:
        call.end(error)
        return None
    if going_on is None:
        call.end()
        return None
    return call.go_on(going_on)
