"""The library h2 as the server of one HTTP/2 client after another, at a Unix socket.

A client sends a seed in four bytes and then HTTP/2. The seed decides what the server does: its
settings, the sizes of its windows and when it opens them, the body of its response in padded frames
cut anywhere, pings, frames of extensions, and how the conversation ends. When the client has closed
the connection, what happened is written to stdout: one line of words separated by spaces. Run it
with the path of the socket. It ends when its stdin is closed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import select
import socket
import sys
import threading
from collections.abc import Iterator

import h2.events as events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from tests.python.support.hyperframes import content, fragmented
from tests.python.support.native import PREFACE, http2_frame

#: A client that stops is an error, not a hanging test.
TIMEOUT_SECONDS = 20.0

WINDOWS = (0, 1, 100, 16_384, 65_535, 1_000_000)


class Peer:
    """One conversation."""

    def __init__(self, connection: socket.socket, seed: int) -> None:
        self.dice = random.Random(seed)
        self.socket = connection
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.buffer = b""
        self.greeted = False
        self.settings_sent = 1
        self.stream = 0
        self.path = "-"
        self.received = hashlib.sha256()
        self.received_bytes = self.sent = 0
        self.owed = {"connection": 0, "stream": 0}
        self.request_ended = self.over = False
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.acknowledged = 0
        self.end = self.dice.choice(["trailers"] * 6 + ["end_stream", "reset", "goaway"])
        self.size = self.dice.choice([0, 1, 1000, self.dice.randrange(300_000)])
        # How many acts before the conversation may end.
        self.acts = self.dice.randrange(40)
        # Whether windows open only when nothing of them is left.
        self.slow = self.dice.random() < 0.5
        self.how = "none"
        self.step = self.dice.choice([7, 500, 20_000, 200_000])

    # -- The network ---------------------------------------------------------------------------

    def run(self) -> str:
        """Return what happened."""
        self.socket.settimeout(TIMEOUT_SECONDS)
        error = "none"
        try:
            self.flush()
            while self.read():
                pass
        except ProtocolError as violation:
            error = f"{violation!r}".replace(" ", "_")
        except (TimeoutError, ConnectionError) as lost:
            error = f"{lost!r}".replace(" ", "_")
        return (
            f"{error} {self.path} {self.received_bytes} {self.received.hexdigest()} {self.sent} "
            f"{hashlib.sha256(content(0, self.sent)).hexdigest()} {self.how} "
            f"{self.pings == self.pongs} {self.settings_sent == self.acknowledged}"
        )

    def read(self) -> bool:
        """Take what has come and act; False when the client has closed."""
        ready = self.stream and not self.over and self.can_act()
        if ready and not select.select([self.socket], [], [], 0)[0]:
            self.act()
            return True
        data = self.socket.recv(65_536)
        if not data:
            return False
        if self.how not in ("reset", "goaway"):
            self.buffer += data
            for part in self.whole_frames():
                for event in self.h2.receive_data(part):
                    self.note(event)
            self.flush()
        return True

    def whole_frames(self) -> Iterator[bytes]:
        """The preface, and frame by frame: h2 takes larger frames from its next call on."""
        while len(self.buffer) >= (9 if self.greeted else len(PREFACE)):
            length = len(PREFACE)
            if self.greeted:
                length = 9 + int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < length:
                return
            self.greeted = True
            part, self.buffer = self.buffer[:length], self.buffer[length:]
            yield part

    def flush(self, data: bytes = b"") -> None:
        """Write in pieces of any size."""
        data = data or self.h2.data_to_send()
        while data:
            size = self.dice.choice([self.dice.randint(1, 20), 1000, len(data), len(data)])
            self.socket.sendall(data[:size])
            data = data[size:]

    def note(self, event: events.Event) -> None:
        """Note what the client did."""
        match event:
            case events.RequestReceived():
                self.stream = event.stream_id or 0
                headers = {str(name): str(value) for name, value in event.headers}
                self.path = headers[":path"]
                self.send_headers([(":status", "200"), ("content-type", "application/grpc")])
            case events.DataReceived():
                self.received.update(event.data)
                self.received_bytes += len(event.data)
                for window in self.owed:
                    self.owed[window] += event.flow_controlled_length
            case events.StreamEnded():
                self.request_ended = True
            case events.PingAckReceived():
                self.pongs.append(event.ping_data)
            case events.SettingsAcknowledged():
                self.acknowledged += 1
                if self.acknowledged == 1:
                    self.change_settings()
            case events.StreamReset():
                raise ConnectionError(f"the client reset its stream: {event.error_code}")

    def send_headers(self, headers: list[tuple[str, str]], *, end: bool = False) -> None:
        """Send a header block in any number of frames."""
        self.flush()
        headers += [("x-padding", "p" * self.dice.randrange(300))]
        self.h2.send_headers(self.stream, headers, end_stream=end)
        sizes = [self.dice.randrange(1, 60) for _ in range(self.dice.randrange(4))]
        self.flush(fragmented(self.h2.data_to_send(), sizes, self.dice.choice([None, 0, 255])))

    # -- The acts ------------------------------------------------------------------------------

    def can_act(self) -> bool:
        """Whether there is something to do before the client does something."""
        if self.acts > 0 or (self.sent < self.size and self.room() > 0):
            return True
        return self.owing() or self.complete()

    def room(self) -> int:
        """How much data may be sent."""
        return min(self.h2.local_flow_control_window(self.stream), self.size - self.sent)

    def owing(self) -> bool:
        """Whether the client needs a window."""
        if self.request_ended:
            return False
        used_up = self.h2.remote_flow_control_window(self.stream) <= 0
        return used_up or (not self.slow and any(self.owed.values()))

    def complete(self) -> bool:
        """Whether all that may come before the end has come."""
        answered = len(self.pongs) == len(self.pings) and self.acknowledged == self.settings_sent
        return self.request_ended and self.sent == self.size and answered

    def act(self) -> None:
        """Do one of what can be done."""
        if self.acts > 0:
            self.acts -= 1
            self.dice.choice([self.ping, self.change_settings, self.extend, self.send, self.give])()
            if not self.acts and self.end in ("reset", "goaway"):
                self.finish()
                return
        elif self.owing():
            self.give()
        elif self.sent < self.size and self.room() > 0:
            self.send()
        elif self.complete():
            self.finish()
        self.flush()

    def ping(self) -> None:
        self.pings.append(self.dice.randbytes(8))
        self.h2.ping(self.pings[-1])

    def change_settings(self) -> None:
        # h2 takes one acknowledgement as that of every setting it has sent.
        if self.acknowledged == self.settings_sent:
            self.h2.update_settings(
                {
                    SettingCodes.INITIAL_WINDOW_SIZE: self.dice.choice(WINDOWS),
                    SettingCodes.MAX_FRAME_SIZE: self.dice.choice([16_384, 20_000, 2**24 - 1]),
                    SettingCodes.HEADER_TABLE_SIZE: self.dice.choice([0, 100, 4096]),
                }
            )
            self.settings_sent += 1

    def extend(self) -> None:
        self.flush()
        body = self.dice.randbytes(self.dice.randrange(40))
        self.flush(http2_frame(0x42, 0xFF, self.dice.choice([0, self.stream]), body))

    def send(self) -> None:
        padding = self.dice.choice([None, None, 0, 1, 255])
        room = min(self.room(), self.h2.max_outbound_frame_size - 256, self.stride(self.sent))
        if padding is not None and self.h2.local_flow_control_window(self.stream) < room + 256:
            padding = None
        if room >= 0:
            size = self.dice.randint(min(1, room), room)
            self.h2.send_data(self.stream, content(self.sent, size), pad_length=padding)
            self.sent += size

    def give(self) -> None:
        """Open windows: what was used, and what settings have left too small."""
        left = self.h2.remote_flow_control_window(self.stream)
        if self.slow and left > 0:
            return
        for window, owed in self.owed.items():
            if window == "stream":
                if self.request_ended:
                    continue
                missing = 1 - self.h2.streams[self.stream].inbound_flow_control_window
                owed = max(owed, missing)
            if owed > 0:
                step = (
                    owed
                    if self.dice.random() < 0.3
                    else min(owed, self.stride(self.received_bytes))
                )
                stream = self.stream if window == "stream" else None
                self.h2.increment_flow_control_window(step, stream)
                self.owed[window] = max(0, self.owed[window] - step)

    def stride(self, done: int) -> int:
        """How many bytes go at once: few, but not so few that a large body takes for ever."""
        return max(self.step, done // 20)

    def finish(self) -> None:
        """End the response."""
        self.over = True
        self.how = self.end
        if self.end == "trailers":
            self.send_headers([("grpc-status", "0"), ("grpc-message", "done")], end=True)
        elif self.end == "end_stream":
            self.h2.end_stream(self.stream)
        elif self.end == "reset":
            self.h2.reset_stream(self.stream, error_code=self.dice.choice([2, 7, 8]))
        else:
            self.h2.close_connection(error_code=11, additional_data=b"calm down")
        self.flush()


def main(path: str) -> None:
    """Serve one client after the other."""

    def end_with_stdin() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_stdin, daemon=True).start()
    with socket.socket(socket.AF_UNIX) as listener, contextlib.suppress(BrokenPipeError):
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                seed = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
                print(Peer(connection, seed).run(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
