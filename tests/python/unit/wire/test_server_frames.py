"""Frames put together by hand are what protobuf would have written."""

from __future__ import annotations

import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.wire import server_frames

EDGES = [0, 1, 127, 128, 1023, 1024, 16_383, 16_384, 2**32, 2**63, 2**64 - 1]


@pytest.mark.parametrize("call_id", EDGES[1:])
@pytest.mark.parametrize("size", [0, 1, 100, 120, 127, 128, 1023, 1024, 20_000])
def test_an_item_is_read_back(call_id: int, size: int) -> None:
    data = server_frames.frame([server_frames.item(server_frames.call_field(call_id), b"x" * size)])
    reply = pb.CallReply(call=call_id, item=b"x" * size)
    assert pb.ServerFrame.FromString(data) == pb.ServerFrame(replies=[reply])
    assert data == pb.ServerFrame(replies=[reply]).SerializeToString()


@pytest.mark.parametrize("call_id", EDGES[1:])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_384, 70_000])
def test_a_value_is_read_back(call_id: int, size: int) -> None:
    parts: list[bytes | memoryview] = [b"x" * (size // 2), memoryview(b"x" * (size - size // 2))]
    data = server_frames.frame([server_frames.value(server_frames.call_field(call_id), parts)])
    reply = pb.CallReply(call=call_id, value=b"x" * size)
    assert data == pb.ServerFrame(replies=[reply]).SerializeToString()


@pytest.mark.parametrize("count", [1, 3, 2000])
@pytest.mark.parametrize("built", [False, True])
def test_references_are_read_back(count: int, built: bool) -> None:
    call, references = server_frames.call_field(300), [f"{n:016x}" for n in range(count)]
    elements = [
        server_frames.with_references(
            server_frames.VALUE, call, [b"v", memoryview(b"w" * 500)], references, built=built
        ),
        server_frames.with_references(server_frames.ITEM, call, [b"i"], references),
        server_frames.item(call, b"j"),
    ]
    value = pb.CallReply(call=300, value=b"v" + b"w" * 500, references=references, built=built)
    item = pb.CallReply(call=300, item=b"i", references=references)
    expected = pb.ServerFrame(replies=[value, item, pb.CallReply(call=300, item=b"j")])
    assert server_frames.frame(elements) == expected.SerializeToString()


def test_all_kinds_of_replies_and_notices_share_a_frame_in_order() -> None:
    value = pb.CallReply(call=1, value=b"v")
    accepted = pb.CallReply(call=2, accepted=pb.Accepted())
    failure = pb.CallReply(call=3, failure=pb.Failure(message="no"))
    notice = pb.Notice(draining=pb.Draining(grace_ms=5))
    data = server_frames.frame(
        [
            server_frames.reply(value),
            server_frames.notice(notice),
            server_frames.reply(accepted),
            server_frames.item(server_frames.call_field(2), b"i"),
            server_frames.reply(failure),
        ]
    )
    item = pb.CallReply(call=2, item=b"i")
    expected = pb.ServerFrame(replies=[value, accepted, item, failure], notices=[notice])
    assert pb.ServerFrame.FromString(data) == expected


def test_an_empty_frame_is_empty() -> None:
    assert pb.ServerFrame.FromString(server_frames.frame([])) == pb.ServerFrame()


@pytest.mark.parametrize("size", [0, 1, 300, 70_000])
def test_a_value_in_parts_is_the_reply_that_protobuf_writes(size: int) -> None:
    parts: list[bytes | memoryview] = [b"x" * size, memoryview(b"y" * size)]
    frame = b"".join(server_frames.value_parts(server_frames.call_field(7), parts))
    expected = pb.CallReply(call=7, value=b"x" * size + b"y" * size)
    assert pb.ServerFrame.FromString(frame) == pb.ServerFrame(replies=[expected])


@pytest.mark.parametrize("ref", ["r", "r" * 300])
def test_a_load_is_what_protobuf_writes(ref: str) -> None:
    load = pb.EngineLoad(ref=ref, running=3)
    written = pb.ServerFrame(loads=[load]).SerializeToString()
    assert server_frames.load(load) == written
