"""A client of vLLM's OpenAI server that costs as little as one in Python can.

Straight on asyncio's transports: httptools finds the events in the chunks,
msgspec takes the text out of each. A client that people would use (aiohttp,
httpx, openai) takes more for the same.
"""

from __future__ import annotations

import asyncio
import json

import httptools
import msgspec

from tests.bench.servers import client


class Choice(msgspec.Struct):
    """A part of a completion."""

    text: str


class Usage(msgspec.Struct):
    """How many tokens there were."""

    completion_tokens: int


class Event(msgspec.Struct):
    """What a streaming client needs of an event."""

    choices: list[Choice]
    usage: Usage | None = None


class Connection(asyncio.Protocol):
    """One connection, for one request at a time."""

    _decoder = msgspec.json.Decoder(Event)
    _transport: asyncio.Transport
    _answer: asyncio.Future[tuple[int, str, int]] | None = None

    @classmethod
    async def open(cls, address: str) -> Connection:
        """Connects to a Unix socket."""
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_unix_connection(cls, address)
        connection._transport = transport
        return connection

    async def ask(self, request: bytes) -> tuple[int, str, int]:
        """Sends a request; returns the status, the text and the tokens of the answer."""
        self._parser = httptools.HttpResponseParser(self)
        self._answer = asyncio.get_running_loop().create_future()
        self._rest, self._text, self._tokens = b"", "", 0
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        """Goes through the parser."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Takes the events out of a chunk; one may be cut in two."""
        *events, self._rest = (self._rest + body).split(b"\n\n")
        for event in events:
            if event == b"data: [DONE]":
                continue
            it = self._decoder.decode(event[6:])
            for choice in it.choices:
                self._text += choice.text
            if it.usage is not None:
                self._tokens = it.usage.completion_tokens

    def on_message_complete(self) -> None:
        """The answer is whole."""
        assert self._answer is not None
        self._answer.set_result((self._parser.get_status_code(), self._text, self._tokens))

    def connection_lost(self, _error: Exception | None) -> None:
        """An answer that is waited for will not come."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the server closed the connection"))

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()


class HttpClient:
    """Streams completions, each over a connection of its own."""

    def __init__(self, address: str, model: str, prompt: str, tokens: int) -> None:
        self._address = address
        self._connections: list[Connection] = []
        body = json.dumps(
            {
                "model": model,
                "prompt": prompt,
                "max_tokens": tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        head = (
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body

    async def answers(self) -> bool:
        """Whether /health says 200."""
        try:
            connection = await Connection.open(self._address)
            status, _, _ = await connection.ask(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        except OSError:
            return False
        connection.close()
        return bool(status == 200)

    async def open(self, streams: int) -> None:
        """Connects: the server closes connections that rest for some seconds."""
        for connection in self._connections:
            connection.close()
        opened = (Connection.open(self._address) for _ in range(streams))
        self._connections = await asyncio.gather(*opened)

    async def generate(self, index: int) -> int:
        """Reads one completion to its end."""
        status, text, tokens = await self._connections[index].ask(self._request)
        if status != 200 or not text:
            raise RuntimeError(f"the server answered {status} with {len(text)} characters")
        return tokens


if __name__ == "__main__":
    told = client.options()
    client.run(HttpClient(told.address, told.model, told.prompt, told.tokens))
