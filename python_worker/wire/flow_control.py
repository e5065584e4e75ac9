"""Flow control of what the server sends: data leaves as far as the client's windows allow."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from python_worker.buffers import Buffer
from python_worker.wire.http2_frames import (
    DATA,
    DEFAULT_FRAME,
    DEFAULT_WINDOW,
    LARGEST_FRAME,
    LARGEST_WINDOW,
    Code,
    check,
    frame_head,
)

TOO_WIDE = f"a window of more than {LARGEST_WINDOW} bytes"


class FlowControl:
    """Sends the data of one response and queues what the client's windows do not allow yet.

    Attributes:
        stream: The stream of the response; 0 until the request has come.
    """

    def __init__(self) -> None:
        self.stream = 0
        self._connection_window = self._stream_window = self._initial_window = DEFAULT_WINDOW
        self._frame_size = DEFAULT_FRAME
        self._queued: deque[memoryview] = deque()

    def set_initial_window(self, size: int) -> None:
        """Apply the client's SETTINGS_INITIAL_WINDOW_SIZE, to the open stream too."""
        check(size <= LARGEST_WINDOW, Code.FLOW_CONTROL_ERROR, TOO_WIDE)
        self._stream_window += size - self._initial_window
        self._initial_window = size
        self._check_windows()

    def set_frame_size(self, size: int) -> None:
        """Apply the client's SETTINGS_MAX_FRAME_SIZE."""
        fits = DEFAULT_FRAME <= size <= LARGEST_FRAME
        check(fits, Code.PROTOCOL_ERROR, f"a largest frame of {size} bytes, which is out of range")
        self._frame_size = size

    def open_window(self, stream: int, increment: int) -> None:
        """Apply a WINDOW_UPDATE of the connection (stream 0) or of a stream."""
        check(increment > 0, Code.PROTOCOL_ERROR, "a WINDOW_UPDATE with an increment of zero")
        if not stream:
            self._connection_window += increment
        elif stream == self.stream:
            self._stream_window += increment
        self._check_windows()

    def _check_windows(self) -> None:
        fits = max(self._connection_window, self._stream_window) <= LARGEST_WINDOW
        check(fits, Code.FLOW_CONTROL_ERROR, TOO_WIDE)

    @property
    def blocked(self) -> bool:
        """Whether data is queued until the client opens a window."""
        return bool(self._queued)

    def send(self, parts: Sequence[Buffer]) -> list[Buffer]:
        """Frame data of the response; return what to write now.

        What the windows do not allow is queued, and ``resume`` returns it later. Parts are not
        copied.
        """
        size = sum(map(len, parts))
        if (
            not self._queued
            and size <= self._frame_size
            and size <= self._connection_window
            and size <= self._stream_window
        ):
            self._connection_window -= size
            self._stream_window -= size
            return [frame_head(size, DATA, 0, self.stream), *parts]
        self._queued.extend(memoryview(part) for part in parts if len(part))
        return self.resume()

    def resume(self) -> list[Buffer]:
        """Return the queued data that the windows allow now, in frames."""
        out: list[Buffer] = []
        while self._queued:
            size = min(self._connection_window, self._stream_window, self._frame_size)
            if size <= 0:
                break
            parts, size = self._cut_off(size)
            self._connection_window -= size
            self._stream_window -= size
            out.append(frame_head(size, DATA, 0, self.stream))
            out += parts
        return out

    def _cut_off(self, size: int) -> tuple[list[memoryview], int]:
        parts: list[memoryview] = []
        taken = 0
        while self._queued and taken < size:
            part = self._queued.popleft()
            if len(part) > size - taken:
                self._queued.appendleft(part[size - taken :])
                part = part[: size - taken]
            parts.append(part)
            taken += len(part)
        return parts, taken

    def discard(self) -> None:
        """Drop the queued data."""
        self._queued.clear()
