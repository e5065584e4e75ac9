"""Arguments that are streams: the client's elements, one at a time, as an async generator.

vLLM's ``generate`` accepts an async generator as its prompt. It iterates an
``InputStream``: whenever vLLM wants an element, the client is asked for one, so
at most one is in flight. An element is validated like an argument when it
arrives, and an error names its position: ``prompt[3]``.

A stream is closed when vLLM has taken its last element, when its call ends, and
when vLLM drops it. The client is notified, unless it ended the stream itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from python_worker.buffers import Buffer
from python_worker.exceptions import (
    Cancelled,
    DecodeError,
    InvalidArgument,
    LimitExceeded,
    ProtocolError,
)
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.process import large_work

Check = Callable[[Any, str], Any]
"""Takes an element and its path, such as ``prompt[3]``; returns the validated element."""

Decode = Callable[[Buffer], object]
Send = Callable[[pb.CallReply], None]


class InputFailed(InvalidArgument):
    """The client failed to produce the next element.

    Attributes:
        failure: What the client sent; it becomes the failure of the call.
    """

    def __init__(self, failure: pb.Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class InputStream(AsyncGenerator[Any, None]):
    """The elements of one argument of one call.

    Args:
        send: Sends a reply of the call.
        decode: Decodes the value of an element.
    """

    def __init__(self, send: Send, decode: Decode) -> None:
        self._send = send
        self._decode = decode
        self._loop = asyncio.get_running_loop()
        self._check: Check | None = None
        self._path = ""
        self._taken = 0
        self._asked: asyncio.Future[tuple[pb.Input, Buffer | None]] | None = None
        self._closed = False
        self._reason: Exception | None = None

    def __repr__(self) -> str:
        return "of the client's elements"

    def __del__(self) -> None:
        # The garbage collector may run in another thread than the loop's.
        if not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send, closed_reply())

    @property
    def expected(self) -> bool:
        """Whether it was passed to a parameter that takes a stream."""
        return self._check is not None

    def expect(self, check: Check, path: str) -> None:
        """Validation has found the stream at a parameter that takes one; it checks elements too."""
        self._check, self._path = check, path

    def put(self, step: pb.Input, element: Buffer | None = None) -> None:
        """Pass on what the client sent.

        Args:
            step: What it sent.
            element: Its element, where that was left out of it (see ``wire.client_frames``).

        Raises:
            ProtocolError: No element was requested.
        """
        if self._closed:
            return
        # The reader was cancelled and closes the stream in its next turn; this step came before.
        if self._asked is not None and self._asked.cancelled():
            return
        if step.HasField("failure"):  # Unasked too: the process that enumerates may have died.
            self._close(InputFailed(step.failure))
        elif self._asked is None or self._asked.done():
            raise ProtocolError(f"call {step.call} was sent an input that was not requested")
        else:
            self._asked.set_result((step, element))

    def close(self, reason: Exception | None = None) -> None:
        """Stop reading elements.

        Args:
            reason: What is raised to a reader that wants another element; None
                ends the stream normally.
        """
        if not self._closed:
            self._close(reason)
            self._send(closed_reply())

    def withdraw(self) -> None:
        """Close the stream without notifying the client, which was never told of it."""
        self._closed = True

    def call_ended(self) -> None:
        """Close the stream: its call is over, and returned nothing that reads on."""
        self.close(Cancelled("the call is over"))

    # --- What vLLM uses --------------------------------------------------------

    async def asend(self, value: None) -> Any:
        """Ask the client for the next element and wait for it."""
        if self._closed:
            raise self._reason or StopAsyncIteration
        if self._asked is not None:
            raise RuntimeError("the stream is already being read")
        self._asked = self._loop.create_future()
        self._send(pb.CallReply(input_wanted=pb.InputWanted()))
        try:
            step, element = await self._asked
            return await self._take(step, element)
        except StopAsyncIteration:
            raise
        except BaseException:
            # The reader was cancelled, or does not read on after an invalid element.
            self.close()
            raise
        finally:
            self._asked = None

    async def athrow(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        """End the stream from the reader's side; see ``aclose`` of the base."""
        self.close()
        raise typ if val is None else val

    # --- Inside ----------------------------------------------------------------

    async def _take(self, step: pb.Input, element: Buffer | None) -> Any:
        match step.WhichOneof("step"):
            case "element":
                path = f"{self._path}[{self._taken}]"
                self._taken += 1
                data = step.element if element is None else element
                return await large_work.run_if_large(len(data), lambda: self._checked(data, path))
            case "end":
                self._close(None)
                raise StopAsyncIteration
            case _:
                raise ProtocolError(f"an input of call {step.call} is empty")

    def _checked(self, data: Buffer, path: str) -> Any:
        if self._check is None:
            raise InvalidArgument("this parameter does not accept a stream")
        try:
            value = self._decode(data)
        except LimitExceeded as error:
            raise LimitExceeded(f"{path}: {error}", **error.details) from error
        except DecodeError as error:
            raise ProtocolError(f"{path}: {error}") from error
        return self._check(value, path)

    def _close(self, reason: Exception | None) -> None:
        self._closed = True
        self._reason = reason
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(reason or Cancelled("the stream was closed"))


def closed_reply() -> pb.CallReply:
    """The reply that no more elements are wanted."""
    return pb.CallReply(inputs_closed=pb.InputsClosed())
