"""A session at the sessions' listener, as the Elixir client holds it.

HTTP/2 and gRPC as far as one session needs them, written from their descriptions and not from the
worker's: what the worker sends must be readable by anybody who has those. It is as strict as it is
small: what a server may not do, or this worker does not do, fails an assertion.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import struct
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import grpc
import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

#: Runs a test at gRPC's listener, and at the sessions' one; see the fixture ``native``.
BOTH_WAYS = pytest.mark.parametrize("native", [False, True], ids=["grpc", "native"])

#: What grpc.aio gives in place of a message when there is none left.
EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)
END_STREAM = ACK = 1
END_HEADERS = 4

MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 3, 4, 5

DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
DEFAULT_FRAME = 16_384

STATUSES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    """A frame of settings."""
    return http2_frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream: int, size: int) -> bytes:
    """A frame that opens a window."""
    return http2_frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def header(name: str, value: str) -> bytes:
    """A header in HPACK's plainest form: literal, not indexed."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def headers(method: str, *, stream: int = 1) -> bytes:
    """What opens a gRPC call."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/vllm_bridge.v1.Bridge/{method}",
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(header(*field) for field in fields.items())
    return http2_frame(HEADERS, END_HEADERS, stream, block)


def message(data: bytes, *, claim: int | None = None, flag: int = 0) -> bytes:
    """A gRPC message in a DATA frame, with a prefix that may lie."""
    prefix = struct.pack(">BI", flag, len(data) if claim is None else claim)
    return http2_frame(DATA, 0, 1, prefix + data)


def fields_of(block: bytes) -> dict[str, str]:
    """The headers of a block, in the only forms that the worker writes."""
    fields = {}
    if block.startswith(b"\x20\x88"):  # no dynamic table, and `:status: 200` of the static one
        fields[":status"], block = "200", block[2:]
    while block:
        assert block[0] == 0, "a literal that is not indexed"
        name, block = _text(block[1:])
        fields[name], block = _text(block)
    return fields


def _text(block: bytes) -> tuple[str, bytes]:
    length, start = block[0], 1
    assert length < 0x80, "no Huffman code"
    if length == 0x7F:
        shift = 0
        while True:
            length += (block[start] & 0x7F) << shift
            shift += 7
            start += 1
            if block[start - 1] < 0x80:
                break
    assert len(block) >= start + length, "a text ends with its block"
    return block[start : start + length].decode(), block[start + length :]


class NativeRpc:
    """One session and its connection, with what a ``Session`` needs of grpc's rpc.

    Args:
        address: A sessions' listener, as ``Worker`` has it.
        window: What the worker may send unasked; more than ``LARGEST_WINDOW`` is not to be had.
        tls: For a listener that takes TLS.

    Attributes:
        reading: Cleared, nothing is read from the socket beyond what is on its way.
        generous: Whether the worker gets back the window that it has used.
        kinds: The types of the frames that have come.
        trailers: The headers that ended the response.
        goaway: The code and the reason of the worker's last word.
    """

    def __init__(
        self,
        address: str,
        *,
        window: int = LARGEST_WINDOW,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self.reading = asyncio.Event()
        self.reading.set()
        self.generous = True
        self.kinds: list[int] = []
        self.trailers: dict[str, str] = {}
        self.goaway: tuple[int, str] | None = None
        self._address = address
        self._window = window
        self._writer: asyncio.StreamWriter
        self._opened = asyncio.Event()
        self._cancelled = False
        # What of the response is no whole message yet, and what has not been given back to it.
        self._body = bytearray()
        self._taken = 0
        self._messages: asyncio.Queue[Any] = asyncio.Queue()
        # What the worker takes: of the connection and of the stream, and in one frame.
        self._windows = {0: DEFAULT_WINDOW, 1: DEFAULT_WINDOW}
        self._initial_window = DEFAULT_WINDOW
        self._frame = DEFAULT_FRAME
        self._widened = asyncio.Event()
        self._writing = asyncio.Lock()
        self._running = asyncio.ensure_future(self._run())

    # -- As grpc's ------------------------------------------------------------------------------

    async def write(self, frame: pb.ClientFrame) -> None:
        """Sends a frame.

        Raises:
            ConnectionError: The connection has ended.
        """
        await self.send_message(frame.SerializeToString())

    async def read(self) -> Any:
        """Returns the next ServerFrame; EOF when there is none any more."""
        data = await self._messages.get()
        if data is EOF:
            self._messages.put_nowait(EOF)
            return EOF
        return pb.ServerFrame.FromString(data)

    async def code(self) -> grpc.StatusCode:
        """Returns the status that the session ended with."""
        await self.wait_end()
        if "grpc-status" in self.trailers:
            return STATUSES[int(self.trailers["grpc-status"])]
        return grpc.StatusCode.CANCELLED if self._cancelled else grpc.StatusCode.UNAVAILABLE

    async def details(self) -> str:
        """Returns what the status says to a person."""
        await self.wait_end()
        return unquote(self.trailers.get("grpc-message", ""))

    def cancel(self) -> None:
        """Ends the session, which the worker is told."""
        self._cancelled = True
        self._messages.put_nowait(EOF)
        if self._opened.is_set():
            self.send(http2_frame(RST_STREAM, 0, 1, struct.pack(">I", 8)))
        else:
            self._running.cancel()

    # -- Beyond it ------------------------------------------------------------------------------

    async def open(self) -> None:
        """Returns when the connection is open."""
        await self._opened.wait()

    def send(self, data: bytes) -> None:
        """Sends frames of HTTP/2, or what is none, while the connection is open."""
        if not self._writer.is_closing():
            self._writer.write(data)

    async def send_message(self, data: bytes) -> None:
        """Sends a message, which may be none that the worker knows."""
        async with self._writing:
            await self.send_body(struct.pack(">BI", 0, len(data)) + data)

    async def send_body(self, data: bytes) -> None:
        """Sends a piece of the request's body, as fast as the worker takes it."""
        await self._opened.wait()
        rest = memoryview(data)
        while rest:
            size = min(len(rest), self._frame, *self._windows.values())
            if self._running.done() or self._writer.is_closing():
                raise ConnectionError("the connection has ended")
            if size <= 0:
                self._widened.clear()
                await self._widened.wait()
                continue
            for stream in self._windows:
                self._windows[stream] -= size
            self._writer.write(http2_frame(DATA, 0, 1, bytes(rest[:size])))
            rest = rest[size:]
        await self._writer.drain()

    async def end_request(self) -> None:
        """Says that no more frames will come."""
        await self._opened.wait()
        self.send(http2_frame(DATA, END_STREAM, 1, b""))

    async def wait_end(self) -> None:
        """Returns when the connection has ended; raises what the worker may not have done."""
        await asyncio.wait({self._running})
        if not self._running.cancelled():
            self._running.result()

    async def close(self) -> None:
        """Ends the connection without a word."""
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    # -- Receiving ------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            reader, self._writer = await connect(self._address, self._tls)
        except OSError:
            # Who waits for it hears that there is none.
            self._opened.set()
            self._messages.put_nowait(EOF)
            raise
        try:
            self._writer.write(self._opening())
            self._opened.set()
            while True:
                await self.reading.wait()
                head = await reader.readexactly(9)
                length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
                stream = int.from_bytes(head[5:])
                self._take(kind, flags, stream, await reader.readexactly(length))
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise AssertionError("the connection ended within a frame") from error
        except ConnectionError:
            pass  # whether it ended as it should, its status tells
        finally:
            self._messages.put_nowait(EOF)
            self._widened.set()
            self._writer.transport.abort()

    def _opening(self) -> bytes:
        ask = settings((INITIAL_WINDOW_SIZE, self._window))
        wide = b""
        if self._window > DEFAULT_WINDOW:
            wide = window_update(0, self._window - DEFAULT_WINDOW)
        return PREFACE + ask + wide + headers("Session")

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        assert self.goaway is None, "nothing comes after a GOAWAY"
        assert bool(stream) == (kind in (HEADERS, DATA)) or kind == WINDOW_UPDATE, (kind, stream)
        assert self.kinds or kind == SETTINGS, "settings come first"
        assert HEADERS in self.kinds or kind != DATA, "headers come before data"
        assert not self.trailers or kind not in (HEADERS, DATA), "nothing comes after trailers"
        self.kinds.append(kind)
        if kind == DATA:
            assert not flags
            self._take_data(payload)
        elif kind == HEADERS:
            self._take_headers(flags, fields_of(payload))
        elif kind == WINDOW_UPDATE:
            self._windows[stream] += int.from_bytes(payload)
            assert self._windows[stream] <= LARGEST_WINDOW
            self._widened.set()
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8]), payload[8:].decode()
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                self._set(name, value)
            self.send(http2_frame(SETTINGS, ACK, 0, b""))
        else:
            assert kind in (SETTINGS, PING), f"a frame of type {kind}"
            assert flags & ACK, "the worker asks for nothing"

    def _take_headers(self, flags: int, fields: dict[str, str]) -> None:
        if self.kinds.count(HEADERS) == 1:
            assert fields == {":status": "200", "content-type": "application/grpc"}
            assert flags == END_HEADERS
        else:
            assert fields.keys() == {"grpc-status", "grpc-message"}
            assert flags == END_HEADERS | END_STREAM
            self.trailers = fields

    def _take_data(self, payload: bytes) -> None:
        self._taken += len(payload)
        assert self._taken <= self._window, "more than the window allows"
        if self.generous and self._taken > self._window // 2:
            self.give_back()
        self._body += payload
        while len(self._body) >= 5:
            flag, length = struct.unpack_from(">BI", self._body)
            assert flag == 0, "not compressed"
            if len(self._body) < 5 + length:
                break
            self._messages.put_nowait(bytes(self._body[5 : 5 + length]))
            del self._body[: 5 + length]

    def give_back(self) -> None:
        """Lets the worker send as much as has come."""
        if self._taken:
            self.send(window_update(0, self._taken) + window_update(1, self._taken))
            self._taken = 0

    def _set(self, name: int, value: int) -> None:
        if name == INITIAL_WINDOW_SIZE:
            self._windows[1] += value - self._initial_window
            self._initial_window = value
            self._widened.set()
        elif name == MAX_FRAME_SIZE:
            self._frame = value


async def connect(
    address: str, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects with a worker, whose address is as gRPC wants it: a path is a part of a URI."""
    if address.startswith("unix:"):
        path = unquote_to_bytes(address.removeprefix("unix:"))
        return await asyncio.open_unix_connection(os.fsdecode(path))
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port), ssl=tls)
