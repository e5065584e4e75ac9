"""An HTTP server that keeps the requests it gets, and answers as a test says.

It stands for a vLLM or an Ollama that answers oddly, slowly or not at all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recorded:
    """A request."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What is answered.

    Attributes:
        status: The status.
        body: Sent as it is if it is bytes, else as JSON.
        headers: Beside the length.
        after: Set by the test when the answer may be sent; None for at once.
        cut: Whether the connection ends in the middle of the body.
    """

    status: int = 200
    body: object = b""
    headers: dict[str, str] = field(default_factory=dict)
    after: asyncio.Event | None = None
    cut: bool = False


def completion(**fields: object) -> dict[str, object]:
    """The body of a chat completion."""
    return {
        "model": "served",
        "choices": [{"message": {"content": "a text"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        **fields,
    }


class Recorder:
    """The server.

    Attributes:
        answer: Of every request from now on.
        requests: All that have come.
        gone: Set when a client has closed a connection before its answer.
    """

    def __init__(self) -> None:
        self.answer = Answer(body=completion())
        self.requests: list[Recorded] = []
        self.came = asyncio.Event()
        self.gone = asyncio.Event()
        self._port = 0

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def last(self) -> Recorded:
        """The last request."""
        return self.requests[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Recorder]:
        """Serves until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (it.partition(": ") for it in head[1:-2])
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append(Recorded(head[0].split()[1], headers, json.loads(body)))
            self.came.set()
            if self.answer.after is not None:
                await self._wait(self.answer.after, reader)
            self._write(writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _wait(self, event: asyncio.Event, reader: asyncio.StreamReader) -> None:
        closed = asyncio.ensure_future(reader.read(1))
        ready = asyncio.ensure_future(event.wait())
        await asyncio.wait([closed, ready], return_when=asyncio.FIRST_COMPLETED)
        if closed.done():
            ready.cancel()
            self.gone.set()
            raise ConnectionError
        closed.cancel()

    def _write(self, writer: asyncio.StreamWriter) -> None:
        answer = self.answer
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        headers = {"Content-Length": str(len(body) + answer.cut), **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} Status", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
