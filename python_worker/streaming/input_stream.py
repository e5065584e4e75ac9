"""Arguments that are streams: the client's elements, one by one, as an async generator.

vLLM's ``generate`` takes an async generator as its prompt. What it iterates is
an ``InputStream``: each time vLLM wants an element the client is asked for one,
so at most one is on its way, whatever the client could give. An element is
checked like an argument when it comes, and refused by its number: ``prompt[3]``.

A stream is closed when vLLM has taken its last element, when the call that has
it ends, and when vLLM drops it. The client is told, unless it said so itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from python_worker.exceptions import Cancelled, DecodeError, InvalidArgument, ProtocolError
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

Check = Callable[[Any, str], Any]
"""From an element and its path, such as ``prompt[3]``, to the checked element."""

Decode = Callable[[bytes], object]
Send = Callable[[pb.CallReply], None]


class InputFailed(InvalidArgument):
    """The client could not give the next element.

    Attributes:
        failure: What the client said; it gets it back as the failure of the call.
    """

    def __init__(self, failure: pb.Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class InputStream(AsyncGenerator[Any, None]):
    """The elements of one argument of one call.

    Args:
        send: Sends a reply of the call.
        decode: Reads the value of an element.

    """

    def __init__(self, send: Send, decode: Decode) -> None:
        self._send = send
        self._decode = decode
        self._loop = asyncio.get_running_loop()
        self._check: Check | None = None
        self._path = ""
        self._taken = 0
        self._asked: asyncio.Future[pb.Input] | None = None
        self._closed = False
        self._reason: Exception | None = None

    def __repr__(self) -> str:
        return "of the client's elements"

    def __del__(self) -> None:
        # Not on the loop's thread when the garbage collector runs in another.
        if not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send, closed_reply())

    @property
    def expected(self) -> bool:
        """Whether it is the argument of a parameter that takes a stream."""
        return self._check is not None

    def expect(self, check: Check, path: str) -> None:
        """The gate has found the stream in its place; elements are checked there too."""
        self._check, self._path = check, path

    def put(self, step: pb.Input) -> None:
        """Hand over what the client sent.

        Raises:
            ProtocolError: Nothing was asked for.
        """
        if self._closed:
            return
        # The reader was cancelled and closes the stream in its next turn; the step crosses that.
        if self._asked is not None and self._asked.cancelled():
            return
        if step.HasField("failure"):  # It needs no asking: who enumerates may just have died.
            self._close(InputFailed(step.failure))
        elif self._asked is None or self._asked.done():
            raise ProtocolError(f"call {step.call} was sent an input that was not asked for")
        else:
            self._asked.set_result(step)

    def close(self, reason: Exception | None = None) -> None:
        """Take no more elements.

        Args:
            reason: What is raised to who still wants one; without it the stream
                has merely ended.
        """
        if not self._closed:
            self._close(reason)
            self._send(closed_reply())

    def withdraw(self) -> None:
        """The client was never told of it, and is not told of its end."""
        self._closed = True

    def call_ended(self) -> None:
        """The call that has the stream is over, and returned nothing that goes on reading it."""
        self.close(Cancelled("the call is over"))

    # --- What vLLM uses --------------------------------------------------------

    async def asend(self, value: None) -> Any:
        """Ask the client for the next element and wait for it."""
        if self._closed:
            raise self._reason or StopAsyncIteration
        if self._asked is not None:
            raise RuntimeError("the stream is being read already")
        self._asked = self._loop.create_future()
        self._send(pb.CallReply(input_wanted=pb.InputWanted()))
        try:
            step = await self._asked
            return self._take(step)
        except StopAsyncIteration:
            raise
        except BaseException:
            # The reader is cancelled, or will not come back after a bad element.
            self.close()
            raise
        finally:
            self._asked = None

    async def athrow(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        """End the stream from the reader's side; see ``aclose`` of the base."""
        self.close()
        raise typ if val is None else val

    # --- Inside ----------------------------------------------------------------

    def _take(self, step: pb.Input) -> Any:
        match step.WhichOneof("step"):
            case "element":
                path = f"{self._path}[{self._taken}]"
                self._taken += 1
                return self._checked(step.element, path)
            case "end":
                self._close(None)
                raise StopAsyncIteration
            case _:
                raise ProtocolError(f"an input of call {step.call} holds nothing")

    def _checked(self, data: bytes, path: str) -> Any:
        if self._check is None:
            raise InvalidArgument("this parameter takes no stream")
        try:
            value = self._decode(data)
        except DecodeError as error:
            raise ProtocolError(f"{path}: {error}") from error
        return self._check(value, path)

    def _close(self, reason: Exception | None) -> None:
        self._closed = True
        self._reason = reason
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(reason or Cancelled("the stream was closed"))


def closed_reply() -> pb.CallReply:
    """Tells the client that no more inputs are wanted."""
    return pb.CallReply(inputs_closed=pb.InputsClosed())
