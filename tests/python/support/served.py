"""The worker's half of native connections, in the test's own process.

What connections belong to, with methods that do as a test needs it; and a transport that takes
what it is sent as slowly as a test wants.
"""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from python_worker.dispatch.call import Call, GoingOn, start
from python_worker.dispatch.references import References
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.rpc.preface import NewConnection
from python_worker.rpc.roles import Admission
from python_worker.rpc.session_protocol import SessionProtocol
from python_worker.rpc.sessions import Sessions
from tests.python.support.client import PROTOCOL_VERSION, Session
from tests.python.support.native import headers, settings

TOKEN = "a token"
HELLO = pb.ClientHello(protocol_version=PROTOCOL_VERSION, token=TOKEN)
GREETING = pb.ClientFrame(hello=HELLO).SerializeToString()

#: Where gRPC would be served.
GRPC_ADDRESS = "unix:/run/grpc"

MEGABYTE = 1024 * 1024
ITEM = bytes(100_000)

#: What a transport holds before it says that it is enough.
HIGH_WATER = 64 * 1024

#: What comes behind the preface, up to the hello.
OPENING = settings() + headers("Session")


async def until(condition: Callable[[], object]) -> None:
    """Returns when it holds; whatever makes it so needs the loop to turn."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


class Noted(SessionProtocol):
    """A connection whose transport can be looked at."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps it."""
        self.transport = cast(asyncio.Transport, transport)
        super().connection_made(transport)


class Served:
    """What connections belong to, with methods that do as a test needs it.

    Attributes:
        address: As a client takes it.
        made: Every connection that there was.
        items: How many items have been sent.
        echoes: How many values have been returned.
        running: How many calls run.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.address = f"unix:{folder}/socket"
        self.references = References()
        self.clients = Sessions(
            start=self.start, references=self.references, admission=Admission(token=TOKEN), pid=7
        )
        self.connections: set[SessionProtocol] = set()
        self.made: list[Noted] = []
        self.items = self.echoes = self.running = 0
        self.go = asyncio.Event()

    def connection(self) -> Noted:
        """Makes one."""
        self.made.append(Noted(self.clients, self.connections, GRPC_ADDRESS))
        return self.made[-1]

    def start(self, call: Call) -> asyncio.Task[None] | None:
        return start(call, self.perform)

    def perform(self, call: Call) -> GoingOn | None:
        """Carries a call out."""
        if call.request.method != "at_once":
            return self._run(call)
        call.sink.send_value([call.request.args])
        return None

    async def _run(self, call: Call) -> None:
        self.running += 1
        try:
            await getattr(self, call.request.method)(call)
        finally:
            self.running -= 1

    async def echo(self, call: Call) -> None:
        """Returns its arguments."""
        call.return_value([call.take_arguments()[0]])
        self.echoes += 1

    async def wait(self, call: Call) -> None:
        """Returns its arguments when the test says so."""
        await self.go.wait()
        await self.echo(call)

    async def hold(self, call: Call) -> None:
        """Has an object held for the client, and goes on for ever."""
        self.references.hold(object(), call.holder)
        await asyncio.get_running_loop().create_future()

    async def stream(self, call: Call) -> None:
        """Streams items without end, each with its number."""
        call.sink.send(pb.CallReply(accepted=pb.Accepted()))
        while True:
            if not call.sink.take_place():
                await call.sink.wait_place()
            call.sink.send_item(struct.pack(">I", self.items) + ITEM)
            self.items += 1

    async def wait_left(self) -> None:
        """Returns when nobody and nothing is there any more."""
        await until(lambda: not (len(self.clients) or self.running or len(self.references)))
        await until(lambda: not self.connections)

    @property
    def buffered(self) -> int:
        """What the last connection's transport holds."""
        return self.made[-1].transport.get_write_buffer_size()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    """Accepts clients; in the end checks that nothing is left of them."""
    served = Served(folder)
    loop = asyncio.get_running_loop()
    path = served.address.removeprefix("unix:")
    listener = await loop.create_unix_server(
        lambda: NewConnection(served.connection, GRPC_ADDRESS), path
    )
    yield served
    listener.close()
    for connection in served.made:
        if connection in served.connections:
            connection.transport.abort()
    await served.wait_left()


async def numbers(session: Session, call_id: int, count: int) -> list[int]:
    """The next items of a stream, by their numbers."""
    found: list[int] = []
    while len(found) < count:
        reply = await session._calls[call_id].get()
        if reply.WhichOneof("outcome") == "item":
            assert reply.item[4:] == ITEM
            found.append(int.from_bytes(reply.item[:4]))
    return found


class Transport(asyncio.Transport):
    """A client that takes what it is sent or does not, and says what the test says."""

    def __init__(self, protocol: SessionProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.said = bytearray()
        self.unread = 0
        self.reads = self.open = True
        protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert self.open, "nothing is written behind the end"
        self.said += data
        if not self.reads:
            before, self.unread = self.unread, self.unread + len(data)
            if before <= HIGH_WATER < self.unread:
                self.protocol.pause_writing()

    def writelines(self, parts: object) -> None:
        assert isinstance(parts, list)
        self.write(b"".join(parts))

    def read(self) -> None:
        """Take all that waits, and what comes."""
        self.unread, self.reads = 0, True
        self.protocol.resume_writing()

    def pause_reading(self) -> None:
        """Nothing is read but what the test delivers."""

    def resume_reading(self) -> None:
        """See ``pause_reading``."""

    def get_write_buffer_size(self) -> int:
        return self.unread

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert self.open
        self.open = False

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        """What has been said, as type, flags, stream and payload."""
        found: list[tuple[int, int, int, bytes]] = []
        rest = io.BytesIO(self.said)
        while head := rest.read(9):
            length, stream = int.from_bytes(head[:3]), int.from_bytes(head[5:])
            payload = rest.read(length)
            assert len(payload) == length
            found.append((head[3], head[4], stream, payload))
        return found
