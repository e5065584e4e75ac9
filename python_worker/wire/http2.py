"""The server side of one HTTP/2 connection that carries one request, as a value.

Bytes in, the request's body and bytes out: no socket, no task, so that tests can
feed it frames cut at any place. The Elixir module of that name is its other end.

It knows what one gRPC call needs and what RFC 9113 demands beside that: a second
request is refused, header blocks are passed over unread (the first message tells
whether a client wants a session, see ``rpc/session_protocol``), and what breaks the
protocol ends the connection with a reason. gRPC's own server is not used for it
because each of its messages goes through two more threads: a call that has nothing to do took
190 to 215 µs with it, and 121 to 133 without.
"""

from __future__ import annotations

from python_worker.buffers import Buffer
from python_worker.wire.flow_control import FlowControl
from python_worker.wire.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTING,
    SETTINGS,
    WINDOW_UPDATE,
    WORD,
    Code,
    ProtocolViolation,
    check,
    frame_head,
)

# What a client may send before it has been read, given back in halves: enough for several GB/s
# on one machine. What comes is taken at once, so this bounds no memory but the socket's.
WINDOW = 8 * 1024 * 1024

# The largest frame that is taken: 16 kB, the default, means four thousand of them for 64 MB.
FRAME = 1024 * 1024

# One connection carries one session.
SETTINGS_OF_SERVER = (
    (MAX_CONCURRENT_STREAMS, 1),
    (INITIAL_WINDOW_SIZE, WINDOW),
    (MAX_FRAME_SIZE, FRAME),
)


class Http2:
    """One connection with one request.

    Args:
        response: The header block that answers the request, in HPACK without references to
            earlier ones.

    Attributes:
        outflow: The data of the response.
        answers: What has to be sent at once: replies to settings and pings, windows, headers.
        requested: Whether the request has come.
        ended: Whether the client has said all that it will of it.
        reset: Whether the client no longer wants an answer.
    """

    def __init__(self, response: bytes) -> None:
        self._response = response
        self.outflow = FlowControl()
        self.answers = bytearray()
        self.requested = self.ended = self.reset = False
        # The request's stream, and the last that a client has tried to open.
        self._stream = self._last = 0
        # Of a frame that has not come whole; never of a DATA frame, which is handed on in parts.
        self._cut = b""
        # What is to come of a DATA frame, of which so many bytes at the end are padding.
        self._missing = self._padding = 0
        self._data_stream = self._data_flags = 0
        # The stream of a header block that goes on in the next frame.
        self._continued = 0
        # What the client may send, of the connection and of the stream; they are given alike.
        self._receivable = WINDOW
        self._taken = 0

    # -- What comes --------------------------------------------------------------------------

    def greeting(self) -> bytes:
        """What is sent before anything else."""
        settings = b"".join(SETTING.pack(name, value) for name, value in SETTINGS_OF_SERVER)
        return (
            frame_head(len(settings), SETTINGS, 0, 0)
            + settings
            + frame_head(4, WINDOW_UPDATE, 0, 0)
            + WORD.pack(WINDOW - DEFAULT_WINDOW)
        )

    def receive(self, data: bytes) -> list[Buffer]:
        """Take what came after the preface; returns the pieces of the body in it.

        Raises:
            Broken: The client broke the protocol.
        """
        if not (self._missing or self._cut) and (piece := self._one_frame(data)) is not None:
            return [piece]
        if self._cut:
            data, self._cut = self._cut + data, b""
        pieces: list[Buffer] = []
        place, end = 0, len(data)
        while place < end:
            if self._missing:
                place = self._take_data(data, place, pieces)
                continue
            if end - place < 9:
                break
            high, low, kind, flags, stream = HEAD.unpack_from(data, place)
            length = high << 16 | low
            if length > FRAME:
                raise ProtocolViolation(
                    Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes; {FRAME} are taken"
                )
            stream &= 0x7FFFFFFF
            if self._continued and (kind != CONTINUATION or stream != self._continued):
                raise ProtocolViolation(Code.PROTOCOL_ERROR, "a header block was not continued")
            if kind == DATA:
                # The length of the padding is the first byte.
                if flags & PADDED and length and end - place < 10:
                    break
                place = self._begin_data(length, flags, stream, data, place + 9)
                continue
            if end - place - 9 < length:
                break
            place += 9 + length
            self._handle(kind, flags, stream, data[place - length : place])
        if place < end:
            self._cut = data[place:] if place else data
        return pieces

    def _one_frame(self, data: bytes) -> Buffer | None:
        """The body's piece, where all that came is one DATA frame without anything special.

        So comes nearly every message.
        """
        if len(data) <= HEAD.size:
            return None
        high, low, kind, flags, stream = HEAD.unpack_from(data)
        length = high << 16 | low
        if (
            kind != DATA
            or flags
            or stream != self._stream
            or not stream
            or length > FRAME
            or length != len(data) - HEAD.size
            or length > self._receivable
            or self.ended
            or self._continued
        ):
            return None
        self._receivable -= length
        self._give_back(length)
        return data[HEAD.size :]

    def _begin_data(self, length: int, flags: int, stream: int, data: bytes, place: int) -> int:
        if stream != self._stream or not stream:
            # Also of a request that was refused: it may not have heard of it yet.
            if not stream or stream > self._last:
                raise ProtocolViolation(
                    Code.PROTOCOL_ERROR, f"data of a stream that is not open: {stream}"
                )
        elif self.ended:
            raise ProtocolViolation(Code.STREAM_CLOSED, "data after the end of the request")
        if length > self._receivable:
            raise ProtocolViolation(Code.FLOW_CONTROL_ERROR, "more data than the window allows")
        self._receivable -= length
        self._give_back(length)
        padding = 0
        if flags & PADDED:
            if not length or (padding := data[place]) >= length:
                raise ProtocolViolation(Code.PROTOCOL_ERROR, "more padding than data")
            place += 1
            length -= 1
        self._missing, self._padding = length, padding
        self._data_stream, self._data_flags = stream, flags
        if not length:
            self._data_is_over()
        return place

    def _take_data(self, data: bytes, place: int, pieces: list[Buffer]) -> int:
        taken = min(self._missing, len(data) - place)
        content = min(taken, self._missing - self._padding)
        if content > 0 and self._data_stream == self._stream:
            # Not copied: it will be, with the other pieces of its message. A small one is, because
            # it would keep all that came beside it until then.
            piece = memoryview(data)[place : place + content]
            pieces.append(piece if 2 * content >= len(data) else bytes(piece))
        self._missing -= taken
        if not self._missing:
            self._data_is_over()
        return place + taken

    def _data_is_over(self) -> None:
        if self._data_flags & END_STREAM and self._data_stream == self._stream:
            self.ended = True

    def _give_back(self, length: int) -> None:
        self._taken += length
        if self._taken >= WINDOW // 2:
            for stream in (0, self._stream):
                self.answers += frame_head(4, WINDOW_UPDATE, 0, stream) + WORD.pack(self._taken)
            self._receivable += self._taken
            self._taken = 0

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            check(len(payload) == 4, Code.FRAME_SIZE_ERROR, "a window without its size")
            self.outflow.widen(stream, WORD.unpack(payload)[0] & LARGEST_WINDOW)
        elif kind == HEADERS:
            self._request(flags, stream)
        elif kind == CONTINUATION:
            self._continue(flags)
        elif kind == SETTINGS:
            self._set(flags, stream, payload)
        elif kind == PING:
            check(len(payload) == 8, Code.FRAME_SIZE_ERROR, "a ping without its eight bytes")
            check(not stream, Code.PROTOCOL_ERROR, "a ping of a stream")
            if not flags & ACK:
                self.answers += frame_head(8, PING, ACK, 0) + payload
        elif kind == RST_STREAM:
            check(len(payload) == 4, Code.FRAME_SIZE_ERROR, "a reset without its code")
            check(0 < stream <= self._last, Code.PROTOCOL_ERROR, "a reset of a stream not open")
            self.reset = self.reset or stream == self._stream
        elif kind == PUSH_PROMISE:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, "a client cannot push")
        # PRIORITY, GOAWAY and types that nobody knows mean nothing here.

    def _request(self, flags: int, stream: int) -> None:
        check(stream % 2 == 1, Code.PROTOCOL_ERROR, f"a request on stream {stream}")
        if not self.requested:
            self.requested = True
            self._stream = self._last = self.outflow.stream = stream
            self.answers += frame_head(len(self._response), HEADERS, END_HEADERS, stream)
            self.answers += self._response
        elif stream > self._stream:
            self._last = max(self._last, stream)
            refused = WORD.pack(Code.REFUSED_STREAM)
            self.answers += frame_head(4, RST_STREAM, 0, stream) + refused
        if stream == self._stream and flags & END_STREAM:
            self.ended = True
        self._continued = 0 if flags & END_HEADERS else stream

    def _continue(self, flags: int) -> None:
        check(self._continued > 0, Code.PROTOCOL_ERROR, "a header block goes on that is over")
        if flags & END_HEADERS:
            self._continued = 0

    def _set(self, flags: int, stream: int, payload: bytes) -> None:
        check(not stream, Code.PROTOCOL_ERROR, "settings of a stream")
        check(len(payload) % 6 == 0, Code.FRAME_SIZE_ERROR, "settings of another size than six")
        if flags & ACK:
            check(not payload, Code.FRAME_SIZE_ERROR, "settings in an acknowledgement")
            return
        for name, value in SETTING.iter_unpack(payload):
            if name == INITIAL_WINDOW_SIZE:
                self.outflow.set_initial_window(value)
            elif name == MAX_FRAME_SIZE:
                self.outflow.set_frame_size(value)
        self.answers += frame_head(0, SETTINGS, ACK, 0)

    # -- What ends it ------------------------------------------------------------------------

    def finish(self, trailers: bytes) -> bytes:
        """What ends the response; data that still waits is lost.

        Args:
            trailers: A header block, as ``response``.
        """
        self.outflow.drop()
        flags = END_STREAM | END_HEADERS
        return frame_head(len(trailers), HEADERS, flags, self._stream) + trailers

    def goaway(self, code: Code, reason: str = "") -> bytes:
        """What ends the connection."""
        payload = WORD.pack(self._stream) + WORD.pack(code) + reason.encode()
        return frame_head(len(payload), GOAWAY, 0, 0) + payload
