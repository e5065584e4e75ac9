"""What the worker's HTTP/2 server and h2's say of the same frames of a client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import RstStreamFrame

from python_worker.wire import grpc_messages
from python_worker.wire.http2 import FRAME, Http2
from python_worker.wire.http2_frames import ProtocolViolation
from tests.python.support.http2_frames import Frame, wire
from tests.python.support.http2_oracle import WINDOW, small_window
from tests.python.support.hyperframes import frames_of
from tests.python.support.native import ACK, PREFACE, SETTINGS


@dataclass(frozen=True)
class Verdict:
    """What a server made of frames.

    Attributes:
        code: The error code with which it ended the connection; None if it did not.
        resets: The error codes of the streams that it has reset, by stream.
        words: The reason.
    """

    code: int | None
    resets: tuple[tuple[int, int], ...]
    words: str = ""


def verdict_of_worker(frames: Sequence[Frame], *, at_once: bool = True) -> Verdict:
    """Asks ``Http2``, which is given the frames at once or one by one."""
    chunks = [wire(frames)] if at_once else [frame.wire() for frame in frames]
    with small_window():
        http2 = Http2(grpc_messages.RESPONSE)
        code, words = None, ""
        try:
            for chunk in chunks:
                http2.receive(chunk)
        except ProtocolViolation as error:
            code, words = int(error.code), error.reason
    return Verdict(code, _resets(bytes(http2.answers)), words)


def verdict_of_h2(frames: Sequence[Frame]) -> Verdict:
    """Asks h2, whose settings are those of the worker and are acknowledged."""
    server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    sizes = {SettingCodes.INITIAL_WINDOW_SIZE: WINDOW, SettingCodes.MAX_FRAME_SIZE: FRAME}
    server.local_settings = Settings(client=False, initial_values=sizes)
    server.max_inbound_frame_size = FRAME
    server.initiate_connection()
    server.increment_flow_control_window(WINDOW - 65_535)
    server.receive_data(PREFACE + Frame(SETTINGS, ACK).wire())
    server.clear_outbound_data_buffer()
    code, words = None, ""
    try:
        server.receive_data(wire(frames))
    except ProtocolError as error:
        code, words = int(error.error_code), f"{error} {error.__cause__ or ''}"
    return Verdict(code, _resets(server.data_to_send()), words)


def _resets(said: bytes) -> tuple[tuple[int, int], ...]:
    frames = [frame for frame in frames_of(said) if isinstance(frame, RstStreamFrame)]
    return tuple((frame.stream_id, frame.error_code) for frame in frames)
