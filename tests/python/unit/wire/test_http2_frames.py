"""The numbers of HTTP/2 are those of hyperframe and h2, which were written by others."""

from __future__ import annotations

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    FRAME_MAX_ALLOWED_LEN,
    FRAME_MAX_LEN,
    FRAMES,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
)

from python_worker.wire import http2_frames
from python_worker.wire.http2_frames import Code, ProtocolViolation, check, frame_head
from tests.python.support.http2_frames import Error


def test_codes_are_those_of_the_rfc() -> None:
    ours = {code.name: code.value for code in Code}
    assert ours.items() <= {error.name: error.value for error in Error}.items()
    assert ours.items() <= {error.name: error.value for error in ErrorCodes}.items()


def test_types_of_frames_are_those_of_hyperframe() -> None:
    for number in range(10):
        name = FRAMES[number].__name__.removesuffix("Frame").upper()
        name = {"RSTSTREAM": "RST_STREAM", "PUSHPROMISE": "PUSH_PROMISE"}.get(name, name)
        name = {"WINDOWUPDATE": "WINDOW_UPDATE"}.get(name, name)
        assert getattr(http2_frames, name) == number


@pytest.mark.parametrize(("name", "flag"), [("END_STREAM", "END_STREAM"), ("PADDED", "PADDED")])
def test_flags_of_data_are_those_of_hyperframe(name: str, flag: str) -> None:
    flags = {one.name: one.bit for one in DataFrame.defined_flags}
    assert getattr(http2_frames, name) == flags[flag]


@pytest.mark.parametrize(
    ("name", "flag"), [("END_HEADERS", "END_HEADERS"), ("HAS_PRIORITY", "PRIORITY")]
)
def test_flags_of_headers_are_those_of_hyperframe(name: str, flag: str) -> None:
    flags = {one.name: one.bit for one in HeadersFrame.defined_flags}
    assert getattr(http2_frames, name) == flags[flag]


@pytest.mark.parametrize(
    "name", ["ENABLE_PUSH", "MAX_CONCURRENT_STREAMS", "INITIAL_WINDOW_SIZE", "MAX_FRAME_SIZE"]
)
def test_settings_are_those_of_h2(name: str) -> None:
    assert getattr(http2_frames, name) == SettingCodes[name]


def test_sizes_are_those_of_hyperframe_and_the_rfc() -> None:
    assert len(GoAwayFrame(0).serialize_body()) == http2_frames.LEAST_GOAWAY
    assert http2_frames.DEFAULT_FRAME == FRAME_MAX_LEN
    assert http2_frames.LARGEST_FRAME == FRAME_MAX_ALLOWED_LEN
    # Section 6.9.1, and the default of section 6.5.2.
    assert http2_frames.LARGEST_WINDOW == 0x7FFF_FFFF
    assert http2_frames.DEFAULT_WINDOW == 0xFFFF


def test_every_frame_belongs_to_a_stream_or_the_connection_as_hyperframe_has_it() -> None:
    for number in range(10):
        association = FRAMES[number].stream_association
        assert (number in http2_frames.OF_STREAM) is (association == "has-stream")
        assert (number in http2_frames.OF_CONNECTION) is (association == "no-stream")


@pytest.mark.parametrize("length", [0, 1, 255, 256, 65_536, 2**24 - 1])
def test_the_head_of_a_frame_is_read_by_hyperframe(length: int) -> None:
    frame, read = DataFrame.parse_frame_header(memoryview(frame_head(length, 0, 1, 2**31 - 1)))
    assert isinstance(frame, DataFrame)
    assert (read, frame.stream_id, set(frame.flags)) == (length, 2**31 - 1, {"END_STREAM"})


def test_a_check_that_does_not_hold_raises_with_code_and_reason() -> None:
    check(True, Code.NO_ERROR, "")
    with pytest.raises(ProtocolViolation, match="because") as caught:
        check(False, Code.STREAM_CLOSED, "because")
    assert (caught.value.code, caught.value.reason) == (Code.STREAM_CLOSED, "because")
