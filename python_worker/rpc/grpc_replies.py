"""What receives the replies of a single call over gRPC, ``Call`` or ``Stream``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

from python_worker.buffers import Buffer
from python_worker.dispatch.call import Call
from python_worker.exceptions import Unsupported
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.input_stream import InputStream
from python_worker.streaming.reply_sink import ReplyReferences


class SingleReply(ReplyReferences):
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

    def send_value(self, parts: Sequence[Buffer], *, built: bool = False) -> None:
        """Keep the value of the call."""
        self.reply = pb.CallReply(
            value=b"".join(parts), references=self.take_references(), built=built
        )

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


class ReplyQueue(ReplyReferences):
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

    def send_value(self, parts: Sequence[Buffer], *, built: bool = False) -> None:
        """Put a value behind the others."""
        references = self.take_references()
        self.send(pb.CallReply(value=b"".join(parts), references=references, built=built))

    def send_item(self, item: bytes) -> None:
        """Put an item behind the others."""
        self.send(pb.CallReply(item=item, references=self.take_references()))

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

    def left(self) -> list[pb.CallReply]:
        """Take the replies that the iteration has not reached."""
        queue = self._queue
        found = [queue.get_nowait() for _ in range(queue.qsize())]
        return [reply for reply in found if reply is not None]

    async def __aiter__(self) -> AsyncIterator[pb.CallReply]:
        while (reply := await self._queue.get()) is not None:
            yield reply
            if reply.WhichOneof("outcome") == "item":
                self._room.set()
