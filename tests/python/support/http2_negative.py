"""The library h2 as a worker that behaves as gRPC's negative tests of HTTP/2 have a server behave.

https://github.com/grpc/grpc/blob/master/doc/negative-http2-interop-test-descriptions.md names the
behaviours. A client says with the token of its hello which one it wants. Every call is answered
with its own arguments, at the connection's Unix socket, over one connection after another. A line
on stdout says what each client did: the behaviour, how many streams it opened, how many calls it
made, and how many pings it answered. It ends when its stdin is closed.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

import h2.events as events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

TIMEOUT_SECONDS = 20.0
PINGS = 3


class Worker:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.stream = 0
        self.body = b""
        self.behaviour = ""
        self.streams = self.calls = self.pongs = 0
        self.waiting: list[pb.StartCall] = []
        self.open = True

    def run(self) -> str:
        """Talks until the client has gone; returns what it did."""
        self.flush()
        while self.open and (data := self.receive()):
            for event in self.h2.receive_data(data):
                self.handle(event)
            if self.open:
                self.flush()
        return f"{self.behaviour or 'none'} {self.streams} {self.calls} {self.pongs}"

    def receive(self) -> bytes:
        """The next bytes; none when the client has closed."""
        with contextlib.suppress(ConnectionError):
            return self.socket.recv(65_536)
        return b""

    def flush(self) -> None:
        """Sends what h2 has to send."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(self.h2.data_to_send())

    def handle(self, event: events.Event) -> None:
        """Does what the client asks for."""
        match event:
            case events.RequestReceived():
                self.streams += 1
                self.stream = event.stream_id or 0
                self.h2.send_headers(
                    self.stream, [(":status", "200"), ("content-type", "application/grpc")]
                )
            case events.DataReceived():
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, self.stream)
                self.body += event.data or b""
                for message in self.messages():
                    self.take(pb.ClientFrame.FromString(message))
            case events.PingAckReceived():
                self.pongs += 1
                if self.pongs == PINGS:
                    self.answer(self.waiting)

    def messages(self) -> Iterator[bytes]:
        """The gRPC messages that have come."""
        while len(self.body) >= 5 and len(self.body) >= 5 + (size := self.size()):
            message, self.body = self.body[5 : 5 + size], self.body[5 + size :]
            yield message

    def size(self) -> int:
        return int.from_bytes(self.body[1:5])

    def take(self, frame: pb.ClientFrame) -> None:
        """Greets, or carries calls out."""
        if frame.HasField("hello"):
            self.behaviour = frame.hello.token
            if self.behaviour == "rst_after_header":
                self.reset(ErrorCodes.INTERNAL_ERROR)
                return
            if self.behaviour == "max_streams":
                self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
            self.send(pb.ServerFrame(hello=HELLO))
        if frame.calls:
            self.calls += len(frame.calls)
            BEHAVIOURS.get(self.behaviour, Worker.answer)(self, list(frame.calls))

    def answer(self, calls: list[pb.StartCall]) -> None:
        """Returns the arguments of calls."""
        replies = [pb.CallReply(call=call.id, value=call.request.args) for call in calls]
        self.send(pb.ServerFrame(replies=replies))

    def send(self, frame: pb.ServerFrame, *, part: float = 1.0) -> None:
        """Sends a frame, or the beginning of one."""
        message = frame.SerializeToString()
        data = struct.pack(">BI", 0, len(message)) + message
        self.h2.send_data(self.stream, data[: int(len(data) * part)])

    def reset(self, code: ErrorCodes) -> None:
        """Ends the request, in the same bytes as what was sent before."""
        self.h2.reset_stream(self.stream, code)

    # --- The behaviours

    def go_away(self, calls: list[pb.StartCall]) -> None:
        """Says so, answers, and leaves when it was called twice, as a server that has drained."""
        if self.calls == 1:
            # h2 ends its own connection with it, so it is written by hand.
            self.flush()
            self.socket.sendall(struct.pack(">IBI", 8 << 8 | 7, 0, 0) + struct.pack(">II", 1, 0))
        self.answer(calls)
        if self.calls > 1:
            self.flush()
            self.open = False

    def reset_during_data(self, calls: list[pb.StartCall]) -> None:
        """Sends half of an answer."""
        self.send(
            pb.ServerFrame(
                replies=[pb.CallReply(call=call.id, value=call.request.args) for call in calls]
            ),
            part=0.5,
        )
        self.reset(ErrorCodes.INTERNAL_ERROR)

    def reset_after_data(self, calls: list[pb.StartCall]) -> None:
        """Sends a whole answer, and no status."""
        self.answer(calls)
        self.reset(ErrorCodes.NO_ERROR)

    def ping(self, calls: list[pb.StartCall]) -> None:
        """Answers when the client has answered."""
        self.waiting = calls
        self.pongs = 0
        for number in range(PINGS):
            self.h2.ping(number.to_bytes(8))


BEHAVIOURS: Mapping[str, Callable[[Worker, list[pb.StartCall]], None]] = {
    "goaway": Worker.go_away,
    "rst_during_data": Worker.reset_during_data,
    "rst_after_data": Worker.reset_after_data,
    "ping": Worker.ping,
}

HELLO = pb.ServerHello(protocol_version=1, worker_version="h2", incarnation="0" * 32, pid=1)


def end_with_stdin() -> None:
    """Ends this process when whoever started it has gone."""
    select.select([sys.stdin], [], [])
    os._exit(0)


def main(path: str) -> None:
    """Serves clients, each in a thread of its own."""
    threading.Thread(target=end_with_stdin, daemon=True).start()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.settimeout(TIMEOUT_SECONDS)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection: socket.socket) -> None:
    """Serves one client."""
    with connection:
        report = Worker(connection).run()
    print(report, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
