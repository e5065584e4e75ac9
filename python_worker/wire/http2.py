"""The server side of one HTTP/2 connection that carries one request, as a value.

Bytes in; the request's body and bytes to send out. There is no socket and no
task, so tests can feed it frames cut at any place. The Elixir module
``Vllm.Core.Wire.HTTP2`` is the other end.

It does what one gRPC call needs and what RFC 9113 demands beside that. A second request is refused.
Header blocks are not decoded: the first message tells whether a client wants a session
(``rpc/session_protocol``). A client that breaks the protocol gets a GOAWAY with a reason. gRPC's
own server is not used because each of its messages goes through two more threads: a call that does
nothing took 190 to 215 µs with it, and 121 to 133 without.
"""

from __future__ import annotations

from python_worker.buffers import Buffer
from python_worker.wire.flow_control import FlowControl
from python_worker.wire.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEAD,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    LEAST_GOAWAY,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    OF_CONNECTION,
    OF_STREAM,
    PADDED,
    PAYLOAD_BYTES,
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

# The client's windows, in bytes; half of it is given back at a time. Enough for several GB/s on one
# machine. Data is processed as it arrives, so this does not bound the worker's memory.
WINDOW = 8 * 1024 * 1024

# The largest frame that is accepted. The default, 16 kB, would cut 64 MB into 4,096 frames.
FRAME = 1024 * 1024


class Http2:
    """One connection with one request.

    Args:
        response: The header block of the response, in HPACK without the dynamic table.

    Attributes:
        flow_control: Sends the data of the response.
        answers: Frames to write before any data: acknowledgements of settings and pings, window
            updates, the response's headers. Whoever writes them clears it.
        requested: Whether the request's headers have come.
        ended: Whether the request is complete (END_STREAM).
        reset: Whether the client has reset the request's stream.
    """

    def __init__(self, response: bytes) -> None:
        self._response = response
        self.flow_control = FlowControl()
        self.answers = bytearray()
        self.requested = self.ended = self.reset = False
        # The request's stream, and the highest that the client has opened.
        self._stream = self._last = 0
        # The bytes of an incomplete frame. DATA is not kept here: it is passed on in parts.
        self._cut = b""
        # The bytes of a DATA frame still to come; the last of them are its padding.
        self._missing = self._padding = 0
        self._data_stream = self._data_flags = 0
        # The stream whose header block the next frame has to continue, or 0.
        self._continued = 0
        # The bytes that the client may send now, and those not given back yet. The connection's
        # window and the stream's are kept equal.
        self._receivable = WINDOW
        self._taken = 0
        # How many of those not given back were data of refused streams.
        self._skipped = 0

    # -- Receiving ---------------------------------------------------------------------------

    def preface(self) -> bytes:
        """Return the bytes to send first: the settings and the connection's window."""
        settings = (
            SETTING.pack(MAX_CONCURRENT_STREAMS, 1)  # One connection carries one session.
            + SETTING.pack(INITIAL_WINDOW_SIZE, WINDOW)
            + SETTING.pack(MAX_FRAME_SIZE, FRAME)
        )
        return (
            frame_head(len(settings), SETTINGS, 0, 0)
            + settings
            + frame_head(4, WINDOW_UPDATE, 0, 0)
            + WORD.pack(WINDOW - DEFAULT_WINDOW)
        )

    def receive(self, data: bytes) -> list[Buffer]:
        """Process bytes that follow the client's preface; return the pieces of the body.

        Raises:
            ProtocolViolation: The client broke the protocol.
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
                    Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes; at most {FRAME} are valid"
                )
            stream &= 0x7FFFFFFF
            if self._continued and (kind != CONTINUATION or stream != self._continued):
                raise ProtocolViolation(Code.PROTOCOL_ERROR, "a header block was not continued")
            if kind == DATA:
                # The first byte of the payload is the length of the padding.
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
        """Return the body's piece if the bytes are exactly one plain DATA frame of the request.

        Nearly every message arrives like this; the ordinary path handles the rest.
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
            # Data of a refused request is skipped: the client may not have read the refusal yet.
            if not stream:
                raise ProtocolViolation(Code.PROTOCOL_ERROR, "data of no stream")
            self._check_not_idle(stream)
            self._skipped += length
        elif self.ended:
            raise ProtocolViolation(Code.STREAM_CLOSED, "data after the end of the request")
        if length > self._receivable:
            raise ProtocolViolation(Code.FLOW_CONTROL_ERROR, "more data than the window allows")
        self._receivable -= length
        self._give_back(length)
        padding = 0
        if flags & PADDED:
            check(length > 0, Code.FRAME_SIZE_ERROR, "padding without its length")
            if (padding := data[place]) >= length:
                raise ProtocolViolation(Code.PROTOCOL_ERROR, "more padding than data")
            place += 1
            length -= 1
        self._missing, self._padding = length, padding
        self._data_stream, self._data_flags = stream, flags
        if not length:
            self._end_data()
        return place

    def _take_data(self, data: bytes, place: int, pieces: list[Buffer]) -> int:
        taken = min(self._missing, len(data) - place)
        content = min(taken, self._missing - self._padding)
        if content > 0 and self._data_stream == self._stream:
            # A large piece is not copied: joining the pieces of its message will do that. A small
            # one is, because a view of it would keep the whole chunk alive until then.
            piece = memoryview(data)[place : place + content]
            pieces.append(piece if 2 * content >= len(data) else bytes(piece))
        self._missing -= taken
        if not self._missing:
            self._end_data()
        return place + taken

    def _end_data(self) -> None:
        if self._data_flags & END_STREAM and self._data_stream == self._stream:
            self.ended = True

    def _give_back(self, length: int) -> None:
        self._taken += length
        if self._taken >= WINDOW // 2:
            self._open_window(0, self._taken)
            # Data of refused streams has not used this stream's window.
            self._open_window(self._stream, self._taken - self._skipped)
            self._receivable += self._taken
            self._taken = self._skipped = 0

    def _open_window(self, stream: int, increment: int) -> None:
        if increment:
            self.answers += frame_head(4, WINDOW_UPDATE, 0, stream) + WORD.pack(increment)

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (OF_CONNECTION if stream else OF_STREAM):
            reason = f"a frame of type {kind} on stream {stream}"
            raise ProtocolViolation(Code.PROTOCOL_ERROR, reason)
        size = PAYLOAD_BYTES.get(kind)
        if size is not None and len(payload) != size:
            reason = f"a frame of type {kind} has {len(payload)} bytes instead of {size}"
            raise ProtocolViolation(Code.FRAME_SIZE_ERROR, reason)
        if kind == WINDOW_UPDATE:
            self._check_not_idle(stream)
            self.flow_control.open_window(stream, WORD.unpack(payload)[0] & LARGEST_WINDOW)
        elif kind == HEADERS:
            self._request(flags, stream, payload)
        elif kind == CONTINUATION:
            self._continue(flags)
        elif kind == SETTINGS:
            self._set(flags, payload)
        elif kind == PING:
            if not flags & ACK:
                self.answers += frame_head(8, PING, ACK, 0) + payload
        elif kind == RST_STREAM:
            self._check_not_idle(stream)
            self.reset = self.reset or stream == self._stream
        elif kind == PUSH_PROMISE:
            raise ProtocolViolation(Code.PROTOCOL_ERROR, "a push from a client")
        elif kind == GOAWAY:
            check(len(payload) >= LEAST_GOAWAY, Code.FRAME_SIZE_ERROR, "a farewell cut off")
        # PRIORITY and unknown types are ignored.

    def _check_not_idle(self, stream: int) -> None:
        if stream > self._last or (stream and not stream % 2):
            reason = f"stream {stream} is not open"
            raise ProtocolViolation(Code.PROTOCOL_ERROR, reason)

    def _request(self, flags: int, stream: int, payload: bytes) -> None:
        check(stream % 2 == 1, Code.PROTOCOL_ERROR, f"a request on stream {stream}")
        _check_padding(flags, payload)
        if not self.requested:
            self.requested = True
            self._stream = self._last = self.flow_control.stream = stream
            self.answers += frame_head(len(self._response), HEADERS, END_HEADERS, stream)
            self.answers += self._response
        elif stream == self._stream:
            check(not self.ended, Code.STREAM_CLOSED, "headers after the end of the request")
            trailers = flags & END_STREAM > 0
            check(trailers, Code.PROTOCOL_ERROR, "headers within the request that do not end it")
        elif stream > self._stream:
            self._last = max(self._last, stream)
            refused = WORD.pack(Code.REFUSED_STREAM)
            self.answers += frame_head(4, RST_STREAM, 0, stream) + refused
        else:
            reason = f"a request on stream {stream}, which is lower than the one before"
            raise ProtocolViolation(Code.PROTOCOL_ERROR, reason)
        if stream == self._stream and flags & END_STREAM:
            self.ended = True
        self._continued = 0 if flags & END_HEADERS else stream

    def _continue(self, flags: int) -> None:
        check(self._continued > 0, Code.PROTOCOL_ERROR, "a continuation of no header block")
        if flags & END_HEADERS:
            self._continued = 0

    def _set(self, flags: int, payload: bytes) -> None:
        check(len(payload) % 6 == 0, Code.FRAME_SIZE_ERROR, "settings that are cut off")
        if flags & ACK:
            check(not payload, Code.FRAME_SIZE_ERROR, "acknowledged settings with a payload")
            return
        for name, value in SETTING.iter_unpack(payload):
            if name == INITIAL_WINDOW_SIZE:
                self.flow_control.set_initial_window(value)
            elif name == MAX_FRAME_SIZE:
                self.flow_control.set_frame_size(value)
            elif name == ENABLE_PUSH:
                check(value <= 1, Code.PROTOCOL_ERROR, f"settings with a push of {value}")
        self.answers += frame_head(0, SETTINGS, ACK, 0)

    # -- Ending ------------------------------------------------------------------------------

    def finish(self, trailers: bytes) -> bytes:
        """Return the frame that ends the response. Queued data is dropped.

        Args:
            trailers: A header block, as ``response``.
        """
        self.flow_control.discard()
        flags = END_STREAM | END_HEADERS
        return frame_head(len(trailers), HEADERS, flags, self._stream) + trailers

    def goaway(self, code: Code, reason: str = "") -> bytes:
        """Return the frame that ends the connection."""
        payload = WORD.pack(self._stream) + WORD.pack(code) + reason.encode()
        return frame_head(len(payload), GOAWAY, 0, 0) + payload


def _check_padding(flags: int, payload: bytes) -> None:
    """Check that padding and priority leave room for the header block of a HEADERS frame."""
    padded = flags & PADDED > 0
    least = padded + (5 if flags & HAS_PRIORITY else 0)
    check(len(payload) >= least, Code.FRAME_SIZE_ERROR, "headers that are cut off")
    if padded:
        fits = payload[0] <= len(payload) - least
        check(fits, Code.PROTOCOL_ERROR, "more padding than headers")
