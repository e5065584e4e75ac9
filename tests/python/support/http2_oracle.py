"""The library h2 as the client of the worker's HTTP/2 server: a conversation with bytes in flight.

h2 checks what it receives: frame sizes, windows, the order of frames, header blocks. The methods of
``Conversation`` are what either side may do at any time; one that is not legal now does nothing.
``settle`` delivers everything and compares what both sides say of the conversation.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import singledispatchmethod
from urllib.parse import unquote

import h2.events as events
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import StreamClosedError, TooManyStreamsError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from python_worker.buffers import Buffer
from python_worker.wire import grpc_messages
from python_worker.wire.http2 import Http2
from python_worker.wire.http2_frames import Code
from tests.python.support.hyperframes import content, fragmented, frames_of
from tests.python.support.native import PREFACE, http2_frame

#: The server's window in these tests: so small that a few frames use it up.
WINDOW = 70_000

REQUEST_HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/vllm_bridge.v1.Bridge/Session"),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("user-agent", "h2 " * 30),
]
#: Delivered now and then, so that a large body does not take ten thousand deliveries.
LARGE_CUT = 20_011

RESPONSE_HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


@contextmanager
def small_window(size: int = WINDOW) -> Iterator[None]:
    """Servers made within have small windows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("python_worker.wire.http2.WINDOW", size)
        yield


class Server:
    """``Http2``, used as ``SessionProtocol`` uses it.

    Attributes:
        body: The request's body so far.
        sent: How many bytes of the response were given to it.
        writes: What it has written.
    """

    def __init__(self) -> None:
        self.http2 = Http2(grpc_messages.RESPONSE)
        self.body = bytearray()
        self.sent = 0
        self.writes: deque[bytes] = deque([self.http2.preface()])
        self.over = self.paused = False

    def receive(self, data: bytes) -> None:
        if self.over:
            return
        for piece in self.http2.receive(data):
            self.body += piece
        self._write([])
        if self.http2.reset:
            self.goaway(Code.NO_ERROR)
        elif not self.paused:
            self._write(self.http2.flow_control.resume())

    def pause(self, paused: bool) -> None:
        """While its transport holds enough, a server does not write what was queued."""
        self.paused = paused
        if not (paused or self.over):
            self._write(self.http2.flow_control.resume())

    def send(self, sizes: Sequence[int]) -> None:
        parts: list[Buffer] = []
        for size in sizes:
            parts.append(memoryview(content(self.sent, size)))
            self.sent += size
        self._write(self.http2.flow_control.send(parts))

    def finish(self, status: int, message: str) -> None:
        self._write([self.http2.finish(grpc_messages.trailers(status, message))])
        self.goaway(Code.NO_ERROR)

    def goaway(self, code: Code, reason: str = "") -> None:
        self._write([self.http2.goaway(code, reason)])
        self.over = True

    def _write(self, parts: Sequence[Buffer]) -> None:
        if self.http2.answers:
            self.writes.append(bytes(self.http2.answers))
            self.http2.answers.clear()
        if parts:
            self.writes.append(b"".join(parts))


class Conversation:
    """One connection of h2 with the worker's server.

    Args:
        cuts: The sizes in which bytes are delivered, over and over.
    """

    def __init__(self, cuts: Sequence[int]) -> None:
        self.client = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.client.initiate_connection()
        # The server's protocol reads the preface before the frames.
        self._to_server = self.client.data_to_send().removeprefix(PREFACE)
        self.server = Server()
        self._cuts = itertools.cycle([*cuts, *cuts, LARGE_CUT])
        # What the client has sent.
        self.stream: int | None = None
        self.other: int | None = None
        self.sent = 0
        self.pings: list[bytes] = []
        self.settings_sent = 1
        self.ended = self.reset = False
        self.generous = True
        # What it has received.
        self.headers: list[tuple[str, str]] | None = None
        self.body = bytearray()
        self.pongs: list[bytes] = []
        self.settings_acknowledged = 0
        self.refused: list[int] = []
        self.trailers: dict[str, str] | None = None
        self.goaway: tuple[int, int, bytes] | None = None
        # How the server has ended the response, and the connection.
        self.status: tuple[int, str] | None = None
        self.last_words: tuple[int, bytes] = (Code.NO_ERROR, b"")

    # -- The client ----------------------------------------------------------------------------

    def request(self, sizes: Sequence[int], padding: int | None, weight: int | None) -> None:
        """Opens the request's stream, or another one, which the server refuses."""
        if self.goaway or self.reset:
            return
        stream = self.client.get_next_available_stream_id()
        try:
            self.client.send_headers(stream, REQUEST_HEADERS, priority_weight=weight)
        except TooManyStreamsError:
            return
        self._send(fragmented(self.client.data_to_send(), sizes, padding))
        if self.stream is None:
            self.stream = stream
        else:
            self.other = stream

    def data(self, size: int, padding: int | None, end: bool) -> None:
        """Sends as much of the body as the windows allow."""
        if self._writable and self.stream is not None:
            self.sent += self._send_data(self.stream, self.sent, size, padding, end)
            self.ended = self.ended or end

    def data_of_another(self, size: int, padding: int | None, end: bool) -> None:
        """Sends a body that nobody reads."""
        if self.other is None or self.goaway or self.reset:
            return
        try:
            self._send_data(self.other, 7, size, padding, end)
        except StreamClosedError:
            self.other = None
        if end:
            self.other = None

    def _send_data(self, stream: int, start: int, size: int, padding: int | None, end: bool) -> int:
        overhead = 0 if padding is None else padding + 1
        room = min(self.client.local_flow_control_window(stream), 1_000_000) - overhead
        if room < 0:
            padding, room = None, room + overhead
        size = min(size, room, self.client.max_outbound_frame_size - overhead)
        self.client.send_data(stream, content(start, size), end_stream=end, pad_length=padding)
        self._send()
        return size

    def request_trailers(self, sizes: Sequence[int]) -> None:
        """Ends the request with another header block."""
        if self._writable and self.stream is not None:
            self.client.send_headers(self.stream, [("x-end", "yes" * 20)], end_stream=True)
            self._send(fragmented(self.client.data_to_send(), sizes, None))
            self.ended = True

    def reset_stream(self, code: int) -> None:
        """Gives up the request."""
        if self.stream is not None and not (self.goaway or self.reset):
            self.client.reset_stream(self.stream, code)
            self._send()
            self.reset = True

    def open_window(self, increment: int, of_stream: bool) -> None:
        """Lets the server send more."""
        if self.goaway or (of_stream and (self.stream is None or self.reset)):
            return
        self.client.increment_flow_control_window(increment, self.stream if of_stream else None)
        self._send()

    def be_generous(self, generous: bool) -> None:
        """Says whether the window that data has used is given back."""
        self.generous = generous

    def settings(self, window: int, frame: int, table: int, unknown: tuple[int, int]) -> None:
        """Changes settings."""
        # h2 takes the first ACK as one of everything it has sent, so it has to come before.
        if self.goaway or not self.settings_acknowledged:
            return
        self.client.update_settings(
            {
                SettingCodes.INITIAL_WINDOW_SIZE: window,
                SettingCodes.MAX_FRAME_SIZE: frame,
                SettingCodes.HEADER_TABLE_SIZE: table,
            }
        )
        (frame_of_settings,) = frames_of(self.client.data_to_send())
        frame_of_settings.settings[unknown[0]] = unknown[1]  # type: ignore[attr-defined]
        self._send(frame_of_settings.serialize())
        self.settings_sent += 1

    def ping(self, payload: bytes) -> None:
        """Asks for an answer."""
        if not self.goaway:
            self.client.ping(payload)
            self._send()
            self.pings.append(payload)

    def prioritize(self, stream: int, weight: int) -> None:
        """Sends what RFC 9113 no longer uses."""
        if not self.goaway:
            self.client.prioritize(stream, weight=weight, depends_on=0)
            self._send()

    def unknown_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Sends a frame of an extension."""
        self._send(http2_frame(kind, flags, stream, payload))

    def leave(self, reason: bytes) -> None:
        """Says that no other streams will be opened."""
        frame = GoAwayFrame(0, error_code=0, last_stream_id=0, additional_data=reason)
        self._send(frame.serialize())

    @property
    def _writable(self) -> bool:
        return not (self.stream is None or self.ended or self.reset or self.goaway)

    def _send(self, data: bytes | None = None) -> None:
        self._to_server += self.client.data_to_send() if data is None else data

    # -- The server ----------------------------------------------------------------------------

    def respond(self, sizes: Sequence[int]) -> None:
        """Sends data of the response."""
        if self.server.http2.requested and not self.server.over:
            self.server.send(sizes)

    def pause(self, paused: bool) -> None:
        """Says whether the server's transport holds enough."""
        self.server.pause(paused)

    def finish(self, status: int, message: str) -> None:
        """Ends the response."""
        if self.server.http2.requested and not self.server.over:
            self.server.finish(status, message)
            self.status = (status, message)

    def end_connection(self, code: Code, reason: str) -> None:
        """Ends the connection."""
        if not self.server.over:
            self.server.goaway(code, reason)
            self.last_words = (code, reason.encode())

    # -- The network ---------------------------------------------------------------------------

    def deliver_to_server(self, size: int) -> None:
        """Delivers bytes."""
        data, self._to_server = self._to_server[:size], self._to_server[size:]
        if data:
            self.server.receive(data)

    def deliver_to_client(self, size: int) -> None:
        """Delivers bytes, of one write at a time.

        h2 takes the size of frames that it has allowed from its next call on.
        """
        writes = self.server.writes
        while size > 0 and writes:
            write = writes.popleft()
            if len(write) > size:
                writes.appendleft(write[size:])
                write = write[:size]
            size -= len(write)
            for event in self.client.receive_data(write):
                self._note(event)
            self._send()

    @singledispatchmethod
    def _note(self, event: events.Event) -> None:
        expected = (events.RemoteSettingsChanged, events.WindowUpdated, events.StreamEnded)
        assert isinstance(event, expected), event

    @_note.register
    def _(self, event: events.ResponseReceived) -> None:
        assert event.stream_id == self.stream
        assert self.headers is None
        self.headers = [(str(name), str(value)) for name, value in event.headers]

    @_note.register
    def _(self, event: events.DataReceived) -> None:
        assert event.stream_id == self.stream
        assert self.headers is not None
        self.body += event.data
        if self.generous:
            self.client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    @_note.register
    def _(self, event: events.TrailersReceived) -> None:
        self.trailers = {str(name): str(value) for name, value in event.headers}

    @_note.register
    def _(self, event: events.PingAckReceived) -> None:
        self.pongs.append(event.ping_data)

    @_note.register
    def _(self, event: events.SettingsAcknowledged) -> None:
        self.settings_acknowledged += 1

    @_note.register
    def _(self, event: events.StreamReset) -> None:
        if event.stream_id == self.stream:
            assert self.reset, "h2 answers data of a stream that it has reset"
            return
        assert event.error_code == Code.REFUSED_STREAM
        self.refused.append(event.stream_id)

    @_note.register
    def _(self, event: events.ConnectionTerminated) -> None:
        last = event.last_stream_id
        assert event.error_code is not None
        assert last is not None
        self.goaway = (event.error_code, last, event.additional_data or b"")

    # -- What both have to say of it -----------------------------------------------------------

    def settle(self) -> None:
        """Delivers what is on its way, and compares."""
        self.server.pause(False)
        while self._to_server or self.server.writes:
            self.deliver_to_server(next(self._cuts))
            self.deliver_to_client(next(self._cuts))
        assert bytes(self.body) == content(0, len(self.body))
        if self.server.over:
            self._compare_end()
            return
        assert bytes(self.server.body) == content(0, self.sent)
        assert self.server.http2.requested is (self.stream is not None)
        assert self.server.http2.ended is self.ended
        assert self.pongs == self.pings
        assert self.settings_acknowledged == self.settings_sent
        if self.stream is None:
            assert self.headers is None
            return
        assert self.headers == RESPONSE_HEADERS
        assert self.server.http2.flow_control.blocked is (len(self.body) < self.server.sent)
        if self.server.http2.flow_control.blocked:
            assert self.client.remote_flow_control_window(self.stream) <= 0
        if not self.ended:
            window = self.client.streams[self.stream].outbound_flow_control_window
            assert WINDOW // 2 < window <= WINDOW
        assert WINDOW // 2 < self.client.outbound_flow_control_window <= WINDOW
        assert self.refused == list(range(3, self.client.highest_outbound_stream_id + 1, 2))

    def _compare_end(self) -> None:
        assert self.goaway is not None
        code, last, reason = self.goaway
        assert (code, reason) == self.last_words
        assert last == (self.stream if self.server.http2.requested else 0)
        assert bytes(self.server.body) == content(0, len(self.server.body))
        assert self.pongs == self.pings[: len(self.pongs)]
        assert len(self.body) <= self.server.sent
        if self.status is None:
            assert self.trailers is None
        elif not self.reset:
            assert self.trailers is not None
            assert self.trailers["grpc-status"] == str(self.status[0])
            assert unquote(self.trailers["grpc-message"]) == self.status[1]
