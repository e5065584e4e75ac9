"""What goes out of a connection, as far as its client's windows allow."""

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


class FlowControl:
    """The data of one response.

    Attributes:
        stream: The response's.
    """

    def __init__(self) -> None:
        self.stream = 0
        self._connection_window = self._stream_window = self._initial_window = DEFAULT_WINDOW
        self._frame_size = DEFAULT_FRAME
        self._waiting: deque[memoryview] = deque()

    def set_initial_window(self, size: int) -> None:
        """The client has changed the window with which streams begin."""
        check(size <= LARGEST_WINDOW, Code.FLOW_CONTROL_ERROR, "a window of 2 GB")
        self._stream_window += size - self._initial_window
        self._initial_window = size
        self._check_windows()

    def set_frame_size(self, size: int) -> None:
        """The client takes frames of another size."""
        fits = DEFAULT_FRAME <= size <= LARGEST_FRAME
        check(fits, Code.PROTOCOL_ERROR, f"frames of {size} bytes")
        self._frame_size = size

    def widen(self, stream: int, more: int) -> None:
        """The client takes more data, of the connection or of a stream."""
        check(more > 0, Code.PROTOCOL_ERROR, "a window is opened by nothing")
        if not stream:
            self._connection_window += more
        elif stream == self.stream:
            self._stream_window += more
        self._check_windows()

    def _check_windows(self) -> None:
        fits = max(self._connection_window, self._stream_window) <= LARGEST_WINDOW
        check(fits, Code.FLOW_CONTROL_ERROR, "a window of more than 2 GB")

    @property
    def blocked(self) -> bool:
        """Whether data waits for the client to open its window."""
        return bool(self._waiting)

    def send(self, parts: Sequence[Buffer]) -> list[Buffer]:
        """Send data of the response; returns what of it goes now.

        What the client's windows do not allow is kept; see ``more``. Parts are not copied.
        """
        size = sum(map(len, parts))
        if (
            not self._waiting
            and size <= self._frame_size
            and size <= self._connection_window
            and size <= self._stream_window
        ):
            self._connection_window -= size
            self._stream_window -= size
            return [frame_head(size, DATA, 0, self.stream), *parts]
        self._waiting.extend(memoryview(part) for part in parts if len(part))
        return self.more()

    def more(self) -> list[Buffer]:
        """What of the data that was kept goes now."""
        out: list[Buffer] = []
        while self._waiting:
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
        while self._waiting and taken < size:
            part = self._waiting.popleft()
            if len(part) > size - taken:
                self._waiting.appendleft(part[size - taken :])
                part = part[: size - taken]
            parts.append(part)
            taken += len(part)
        return parts, taken

    def drop(self) -> None:
        """Send nothing of what waits."""
        self._waiting.clear()
