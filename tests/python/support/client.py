"""A plain Python gRPC client: what any program without our Elixir library would write.

Its sessions may also be native, as those of our Elixir library are.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import grpc

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.generated.vllm_bridge.v1 import service_pb2_grpc
from tests.python.support.certificates import ClientCertificates
from tests.python.support.native import EOF, NativeRpc
from tests.python.support.values import Items, Record, Ref, decode, encode, references_in
from tests.python.support.worker import TOKEN, Worker

PROTOCOL_VERSION = 1

#: Plenty for every test that is not about credit.
MUCH_CREDIT = 1_000_000

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Target = Ref | str


class Failed(Exception):
    """A call that failed.

    Attributes:
        failure: As it came.
        kind: Its kind, such as "INVALID".
    """

    def __init__(self, failure: pb.Failure) -> None:
        self.failure = failure
        self.kind = pb.FailureKind.Name(failure.kind).removeprefix("FAILURE_KIND_")
        super().__init__(f"{self.kind} {failure.type}: {failure.message}")

    @property
    def details(self) -> dict[str, Any]:
        """The details as a map."""
        details: dict[str, Any] = decode(self.failure.details) if self.failure.details else {}
        return details

    def causes(self) -> list[pb.Failure]:
        """The chain of causes, without the failure itself."""
        chain, failure = [], self.failure
        while failure.HasField("cause"):
            failure = failure.cause
            chain.append(failure)
        return chain


def sampling(**fields: object) -> Record:
    """Returns sampling parameters."""
    return Record("SamplingParams", fields)


def request(
    target: Target,
    method: str,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    *,
    timeout_ms: int = 0,
    asked: pb.Items = pb.ITEMS_UNSPECIFIED,
) -> pb.CallRequest:
    """Returns the message that asks for a call; ``asked`` says what its items are to be."""
    message = pb.CallRequest(
        method=method,
        args=encode(list(args)) if args else b"",
        kwargs=encode(dict(kwargs)) if kwargs else b"",
        timeout_ms=timeout_ms,
        items=asked,
    )
    if isinstance(target, Ref):
        message.ref, message.incarnation = target.id, target.incarnation
    else:
        message.class_name = target
    return message


def value_of(reply: pb.CallReply) -> Any:
    """Decodes the value of a reply, which has to say which references it holds."""
    value = decode(reply.value)
    assert sorted(reply.references) == sorted(references_in(value))
    return value


class Client:
    """Calls and streams over one channel.

    Args:
        address: Where the worker serves gRPC.
        token: Presented with every call.
        session_address: Where its sessions are opened, each over a connection of its own; None
            for sessions over gRPC.
        tls: The certificates of a client of a worker that takes TLS.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str = TOKEN,
        session_address: str | None = None,
        tls: ClientCertificates | None = None,
    ) -> None:
        # Each client a connection of its own, as each process has.
        options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        self._tls = tls
        if tls is None:
            self.channel = grpc.aio.insecure_channel(address, options=options)
        else:
            self.channel = grpc.aio.secure_channel(address, tls.credentials(), options=options)
        self.stub = service_pb2_grpc.BridgeStub(self.channel)
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._session_address = session_address
        self._connections: list[NativeRpc] = []

    @classmethod
    def of(cls, worker: Worker, *, native: bool) -> Client:
        """A client of a worker, whose sessions are native or go over gRPC."""
        return cls(worker.address, session_address=worker.session_address if native else None)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends every connection, and what goes on over it."""
        await self.channel.close(None)
        for connection in self._connections:
            await connection.close()

    async def call(
        self, target: Target, method: str, /, *args: object, timeout_ms: int = 0, **kwargs: object
    ) -> Any:
        """Calls a method and returns its value.

        Raises:
            Failed: It failed.
        """
        message = request(target, method, args, kwargs, timeout_ms=timeout_ms)
        reply = await self.stub.Call(message, metadata=self._metadata)
        if reply.WhichOneof("outcome") == "failure":
            raise Failed(reply.failure)
        assert reply.WhichOneof("outcome") == "value", reply
        return value_of(reply)

    def replies(
        self,
        target: Target,
        method: str,
        /,
        *args: object,
        timeout_ms: int = 0,
        asked: pb.Items = pb.ITEMS_UNSPECIFIED,
        **kwargs: object,
    ) -> Any:
        """Starts a stream and returns its rpc, an async iterator of replies."""
        message = request(target, method, args, kwargs, timeout_ms=timeout_ms, asked=asked)
        return self.stub.Stream(message, metadata=self._metadata)

    async def stream(
        self, target: Target, method: str, /, *args: object, timeout_ms: int = 0, **kwargs: object
    ) -> AsyncIterator[Any]:
        """Yields the items of a stream; checks the order of the replies.

        Raises:
            Failed: The stream failed, at once or in the middle.
        """
        items = Items()
        seen: list[str | None] = []
        message = request(target, method, args, kwargs, timeout_ms=timeout_ms)
        async for reply in self.stub.Stream(message, metadata=self._metadata):
            outcome = reply.WhichOneof("outcome")
            assert outcome == "failure" or (outcome == "accepted") == (not seen), [*seen, outcome]
            assert not seen or seen[-1] not in ("end", "failure"), [*seen, outcome]
            seen.append(outcome)
            if outcome == "failure":
                raise Failed(reply.failure)
            if outcome == "item":
                yield items.apply(reply.item)
        assert seen[-1] == "end", seen

    async def items(
        self, target: Target, method: str, /, *args: object, **kwargs: Any
    ) -> list[Any]:
        """Returns all items of a stream."""
        return [item async for item in self.stream(target, method, *args, **kwargs)]

    async def generate(
        self,
        engine: Ref,
        prompt: object,
        params: object,
        request_id: object = "r",
        **kwargs: object,
    ) -> Any:
        """Generates and returns the last item."""
        return (await self.items(engine, "generate", prompt, params, request_id, **kwargs))[-1]

    def session(
        self, *, token: str = TOKEN, version: int = PROTOCOL_VERSION, **hello_fields: Any
    ) -> Session:
        """Opens a session; enter it to shake hands. `hello_fields` are more of its hello."""
        hello = pb.ClientHello(protocol_version=version, token=token, **hello_fields)
        if self._session_address is None:
            return Session(self.stub.Session(), hello)
        tls = None if self._tls is None else self._tls.context()
        self._connections.append(NativeRpc(self._session_address, tls=tls))
        return Session(self._connections[-1], hello)


class Session:
    """A session, with every reply filed under its call.

    Attributes:
        hello: The worker's.
        frames: How many frames with replies have come.
        notices: All that have come.
    """

    hello: pb.ServerHello

    def __init__(self, rpc: Any, hello: pb.ClientHello) -> None:
        self._hello = hello
        self._rpc = rpc
        self.frames = 0
        self.replies = 0
        self.notices: list[pb.Notice] = []
        self._calls: dict[int, asyncio.Queue[pb.CallReply]] = defaultdict(asyncio.Queue)
        self._last_id = 0
        self._reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Session:
        await self.write(pb.ClientFrame(hello=self._hello))
        first = await self.read()
        if first.HasField("failure"):
            raise Failed(first.failure)
        self.hello = first.hello
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._rpc.cancel()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    async def write(self, frame: pb.ClientFrame) -> None:
        """Sends a frame."""
        await self._rpc.write(frame)

    async def let_go(self, *replies: pb.CallReply) -> None:
        """Releases the references of replies that nobody reads."""
        await self.write(
            pb.ClientFrame(releases=[ref_id for reply in replies for ref_id in reply.references])
        )

    async def read(self) -> pb.ServerFrame:
        """Returns the next frame, where nobody else reads."""
        frame: pb.ServerFrame = await self._rpc.read()
        return frame

    async def status(self) -> grpc.StatusCode:
        """Returns the status with which the worker ended the session."""
        code: grpc.StatusCode = await self._rpc.code()
        return code

    async def start(
        self,
        target: Target,
        method: str,
        /,
        *args: object,
        credit: int = MUCH_CREDIT,
        timeout_ms: int = 0,
        **kwargs: object,
    ) -> Running:
        """Starts a call."""
        self._last_id += 1
        start = pb.StartCall(
            id=self._last_id,
            request=request(target, method, args, kwargs, timeout_ms=timeout_ms),
            credit=credit,
        )
        await self.write(pb.ClientFrame(calls=[start]))
        return Running(self, self._last_id, self._calls[self._last_id])

    async def call(self, target: Target, method: str, /, *args: object, **kwargs: Any) -> Any:
        """Calls a method and returns its value."""
        return await (await self.start(target, method, *args, **kwargs)).value()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns when a condition on what has come is true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def _read(self) -> None:
        while (frame := await self._rpc.read()) is not EOF:
            self.notices += frame.notices
            self.frames += bool(frame.replies)
            self.replies += len(frame.replies)
            for reply in frame.replies:
                self._calls[reply.call].put_nowait(reply)
            self._changed.set()


class Running:
    """A call of a session."""

    def __init__(
        self, session: Session, call_id: int, replies: asyncio.Queue[pb.CallReply]
    ) -> None:
        self.session = session
        self.id = call_id
        self.waiting = replies

    async def reply(self) -> pb.CallReply:
        """Returns the next reply."""
        return await self.waiting.get()

    async def value(self) -> Any:
        """Returns the value of a call that returns, whatever it tells of its progress."""
        while (reply := await self.reply()).WhichOneof("outcome") == "progress":
            pass
        if reply.WhichOneof("outcome") == "failure":
            raise Failed(reply.failure)
        assert reply.WhichOneof("outcome") == "value", reply
        return value_of(reply)

    async def accepted(self) -> None:
        """Returns when the stream is accepted."""
        reply = await self.reply()
        if reply.WhichOneof("outcome") == "failure":
            raise Failed(reply.failure)
        assert reply.WhichOneof("outcome") == "accepted", reply

    async def items(self) -> list[Any]:
        """Returns the rest of the items; raises what the stream ended with."""
        items, taken = Items(), []
        while True:
            reply = await self.reply()
            match reply.WhichOneof("outcome"):
                case "item":
                    taken.append(items.apply(reply.item))
                case "end":
                    return taken
                case "failure":
                    raise Failed(reply.failure)
                case "accepted":
                    assert not taken

    async def cancel(self) -> None:
        """Cancels the call."""
        await self.session.write(pb.ClientFrame(cancels=[self.id]))

    async def grant(self, items: int) -> None:
        """Gives credit."""
        await self.session.write(pb.ClientFrame(credits=[pb.Credit(call=self.id, items=items)]))


async def release(session: Session, engine: Ref, count: int) -> None:
    """Releases so many requests of a fake engine, some of which may yet come to where it holds."""
    while count > 0:
        count -= await session.call(engine, "release")


def build_engine(address: str, **arguments: object) -> Ref:
    """Builds an engine, for fixtures that outlive the event loop of one test."""

    async def build() -> Ref:
        async with Client(address) as client:
            record = Record("AsyncEngineArgs", arguments)
            ref: Ref = await client.call("AsyncLLM", "from_engine_args", record)
            return ref

    return asyncio.run(build())
