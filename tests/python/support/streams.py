"""What a stream runs between: where its replies go, and a request that is given its outputs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from python_worker.buffers import Buffer
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.admission import ADMISSION
from python_worker.streaming.input_stream import InputStream
from python_worker.streaming.reply_sink import ReplyReferences
from python_worker.streaming.stream import drain


async def wait_turns(count: int = 500) -> None:
    """Let the loop turn, by default far more often than 100 items need."""
    for _ in range(count):
        await asyncio.sleep(0)


class Replies(ReplyReferences):
    """Collects the replies of a call."""

    def __init__(self) -> None:
        self.replies: list[pb.CallReply] = []

    def send(self, reply: pb.CallReply) -> None:
        self.replies.append(reply)

    def send_item(self, item: bytes) -> None:
        self.replies.append(pb.CallReply(item=item, references=self.take_references()))

    @property
    def outcomes(self) -> list[str]:
        return [str(reply.WhichOneof("outcome")) for reply in self.replies]

    @property
    def items(self) -> list[bytes]:
        return [reply.item for reply in self.replies if reply.WhichOneof("outcome") == "item"]

    def send_value(self, parts: Sequence[Buffer], *, built: bool = False) -> None:
        raise AssertionError("a stream sends no value")

    def route_inputs(self, inputs: InputStream) -> None:
        raise AssertionError("this call has no argument that is a stream")


class Places(Replies):
    """A sink with so many places; ``give`` makes more."""

    def __init__(self, places: int = 1000) -> None:
        super().__init__()
        self.places = places
        self._waiting: asyncio.Future[None] | None = None

    def take_place(self) -> bool:
        if self.places == 0:
            return False
        self.places -= 1
        return True

    def return_place(self) -> None:
        self.places += 1

    async def wait_place(self) -> None:
        while not self.take_place():
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def give(self, places: int) -> None:
        self.places += places
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


@dataclass
class Part:
    """A part of a CompletionOutput."""

    index: int
    tokens: list[int]


@dataclass
class Output:
    """A part of a RequestOutput: some tokens of some completions, and whether they are the last."""

    outputs: list[Part]
    finished: bool = False
    metrics: Any = None

    def add(self, output: Output, *, aggregate: bool) -> None:
        assert aggregate
        self.finished |= output.finished
        for part in output.outputs:
            for mine in self.outputs:
                if mine.index == part.index:
                    mine.tokens += part.tokens
                    break
            else:
                self.outputs.append(part)


def output(*tokens: int, index: int = 0, finished: bool = False, metrics: Any = None) -> Output:
    return Output([Part(index, list(tokens))], finished, metrics)


class Letters:
    """An encoder: a completion is its index and its tokens, all in one digit each.

    Attributes:
        cumulative: What the outputs are taken for.
        plain: Whether the last item was not odd.
        odd: Whether items have more than tokens.
        joining: Whether completions of items may go beside plain ones.
        failing: Whether all items are refused, ...
        refusing: ... and completions.
        seen: The metrics of every item.
    """

    def __init__(self) -> None:
        self.cumulative = False
        self.plain = False
        self.odd = False
        self.joining = False
        self.failing = self.refusing = False
        self.seen: list[Any] = []

    def encode(self, item: Any) -> bytes:
        assert isinstance(item, Output)
        self.plain = False
        parts = [self.encode_completion(part.index, "", part.tokens) for part in item.outputs]
        data = self.encode_plain(parts, self.encode_metrics(item.metrics))
        self.plain = not self.odd
        return data

    def encode_completion(self, index: int, text: str, token_ids: Sequence[int]) -> bytes:
        if self.refusing:
            raise ValueError("cannot")
        return f"{index}:{text}{''.join(map(str, token_ids))}".encode()

    def encode_token(self, index: int, text: str, token_ids: Sequence[int], metrics: Any) -> bytes:
        completion = self.encode_completion(index, text, token_ids)
        return self.encode_plain([completion], self.encode_metrics(metrics))

    def encode_completions(self, item: Any) -> dict[int, bytes] | None:
        if not self.joining:
            return None
        self.plain = False
        return {
            part.index: self.encode_completion(part.index, "", part.tokens) for part in item.outputs
        }

    def encode_metrics(self, metrics: Any) -> bytes:
        self.seen.append(metrics)
        return b""

    def encode_plain(self, completions: Collection[bytes], changes: bytes) -> bytes:
        if self.failing:
            raise ValueError("cannot")
        return b" ".join(completions)


class Collector:
    """vLLM's, as far as ``generate`` and the fast path go."""

    aggregate = True

    def __init__(self, request_id: str = "req-1") -> None:
        self.request_id = request_id
        self.output: Output | Exception | None = None
        self.ready = asyncio.Event()
        self.kept = 0

    def put(self, output: Output | Exception) -> None:
        self.kept += 1
        if self.output is None or isinstance(output, Exception):
            self.output = output
            self.ready.set()
        elif isinstance(self.output, Output):
            self.output.add(output, aggregate=self.aggregate)

    async def get(self) -> Output:
        while (output := self.output) is None:
            await self.ready.wait()
        self.output = None
        self.ready.clear()
        if isinstance(output, Exception):
            raise output
        return output


class GenerateError(Exception):
    """vLLM's, which says nothing."""


class Request:
    """A request whose outputs the test puts into its collector.

    Args:
        sink: Where its items go.
        engine: What has its states; see ``RequestStates``.
        first: An output that the collector holds before its call takes it over.
    """

    def __init__(self, sink: Any, *, engine: Any = None, first: Output | None = None) -> None:
        self.collector = Collector()
        self.engine = engine
        self.first = first
        self.aborted: list[str] = []
        self.encoder = Letters()
        self.task = asyncio.create_task(
            drain(self.generate(), sink, encoder=self.encoder, abort=self.abort)
        )

    async def generate(self) -> AsyncIterator[Output]:
        admission = ADMISSION.get()
        assert admission is not None
        if self.first is not None:
            self.collector.put(self.first)
        admission.collect(self.collector, self.engine)
        finished = False
        while not finished:
            try:
                output = await self.collector.get()
            except ValueError as error:
                raise GenerateError from error  # as vLLM does
            finished = output.finished
            yield output

    async def abort(self, request_ids: list[str]) -> None:
        self.aborted += request_ids

    def put(self, *tokens: int, index: int = 0, finished: bool = False) -> None:
        self.collector.put(output(*tokens, index=index, finished=finished))
