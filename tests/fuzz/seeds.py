"""Writes the first inputs of the corpus: what clients and workers say, and nothing broken.

    python -m tests.fuzz.seeds

Values are those of the conformance vectors, frames those of the protocol's. Other inputs are found
by `python -m tests.fuzz --keep`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgpack

from python_worker import codec
from python_worker.codec.types import Record
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.wire import grpc_messages, http2
from tests.fuzz.__main__ import CORPUS
from tests.python.support.native import (
    DATA,
    PING,
    RST_STREAM,
    WINDOW_UPDATE,
    headers,
    http2_frame,
    message,
    settings,
)

VECTORS = Path(__file__).parents[1] / "vectors"
SEED = "seed"


def values() -> dict[str, bytes]:
    """Values of the table, each by its name."""
    entries = json.loads((VECTORS / "values.json").read_text())
    items = json.loads((VECTORS / "streams.json").read_text())
    found = {it["name"]: bytes.fromhex(it["hex"]) for it in entries if len(it["hex"]) < 1000}
    for stream in items[:4]:
        for place, item in enumerate(stream["items"][:3]):
            found[f"{stream['name']} {place}"] = bytes.fromhex(item["hex"])
    return found


def frames() -> dict[str, bytes]:
    """Frames of a client."""
    request = pb.CallRequest(
        ref="r1",
        incarnation="0" * 32,
        method="generate",
        args=b"\x91" * 30 + b"\x01",
        kwargs=b"\x80",
    )
    named = pb.CallRequest(
        class_name="AsyncLLM", method="new", timeout_ms=5, kwargs=b"\x81\xa1n\x01"
    )
    calls = [pb.StartCall(id=1, request=request, credit=3), pb.StartCall(id=2, request=named)]
    made = {
        "hello": pb.ClientFrame(hello=pb.ClientHello(protocol_version=1, token="t")),
        "calls": pb.ClientFrame(calls=calls),
        "credits": pb.ClientFrame(credits=[pb.Credit(call=1, items=5)], cancels=[1, 2, 2**63]),
        "releases": pb.ClientFrame(releases=["r1", "x" * 50], receipts=["e1"]),
        "inputs": pb.ClientFrame(
            inputs=[pb.Input(call=1, element=bytes(40)), pb.Input(end=pb.End())]
        ),
    }
    return {name: frame.SerializeToString() for name, frame in made.items()}


def conversations() -> dict[str, bytes]:
    """Bytes of connections, after the preface."""
    opening = settings() + headers("Session")
    said = b"".join(map(message, frames().values()))
    return {
        "opening": opening,
        "messages": opening + http2_frame(DATA, 0, 1, said),
        "padded": opening + http2_frame(DATA, 8, 1, b"\x03" + said[:50] + bytes(3)),
        "ended": opening + http2_frame(DATA, 1, 1, said[:9]),
        "reset": opening + http2_frame(RST_STREAM, 0, 1, bytes(4)),
        "windows": opening
        + http2_frame(WINDOW_UPDATE, 0, 0, b"\x00\x01\x00\x00")
        + http2_frame(WINDOW_UPDATE, 0, 1, b"\x00\x01\x00\x00")
        + http2_frame(PING, 0, 0, bytes(8)),
    }


def arguments() -> dict[str, bytes]:
    """Arguments of calls."""
    params = Record("SamplingParams", {"n": 1, "temperature": 0.5, "stop": ["a"], "seed": 7})
    pooling = Record("PoolingParams", {"task": "embed", "dimensions": 8})
    adapter = Record("LoRARequest", {"lora_name": "a", "lora_int_id": 1, "lora_path": "/a"})
    given: dict[str, object] = {
        "generate": ["a prompt", params, "r1"],
        "map": [{"prompt_token_ids": [1, 2, 3]}, {"max_tokens": 5, "logit_bias": {3: 0.5}}, "r"],
        "named": {"prompt": "x", "sampling_params": params, "request_id": "r", "priority": 3},
        "encode": {"prompt": {"prompt": "x"}, "pooling_params": pooling, "request_id": "r"},
        "adapter": {
            "prompt": "x",
            "sampling_params": {},
            "request_id": "r",
            "lora_request": adapter,
        },
        "abort": [["a", "b"], True],
        "sleep": {"level": 1, "mode": "keep"},
        "lora": {"lora_request": adapter},
        "remote": {"method": "m", "timeout": 0.5, "args": (1, 2), "kwargs": {"a": None}},
        "structured": [
            "x",
            {"structured_outputs": {"json": {"type": "object"}}, "stop_token_ids": [1, 2]},
            "r",
        ],
    }
    return {name: packed(value) for name, value in given.items()}


def packed(value: object) -> bytes:
    """A value as clients send it, records included."""
    if isinstance(value, Record):
        return bytes(msgpack.packb(msgpack.ExtType(11, packed([value.name, value.fields]))))
    if isinstance(value, list):
        return bytes((0x90 + len(value),)) + b"".join(map(packed, value))
    if isinstance(value, dict):
        pairs = b"".join(packed(part) for pair in value.items() for part in pair)
        return bytes((0x80 + len(value),)) + pairs
    return codec.encode(value)


def server() -> dict[str, bytes]:
    """What a worker says to a client: its settings, headers, and frames. For Elixir."""
    connection = http2.Http2(grpc_messages.RESPONSE)
    greeting = connection.preface()
    connection.receive(settings() + headers("Session"))
    opened = greeting + bytes(connection.answers)
    hello = pb.ServerFrame(hello=pb.ServerHello(protocol_version=1, incarnation="0" * 32, pid=1))
    replies = [
        pb.CallReply(call=1, value=b"\x93\x01\x02\x03"),
        pb.CallReply(call=2, item=b"\xa1x", references=["r1"]),
        pb.CallReply(call=3, failure=pb.Failure(kind=pb.FAILURE_KIND_INVALID, message="no")),
        pb.CallReply(call=4, end=pb.End()),
    ]
    notice = pb.Notice(engine_died=pb.EngineDied(ref="r1", failure=pb.Failure(message="dead")))
    said = b"".join(
        message(frame.SerializeToString())
        for frame in (hello, pb.ServerFrame(replies=replies), pb.ServerFrame(notices=[notice]))
    )
    trailers = grpc_messages.trailers(14, "the worker is gone")
    data = http2_frame(DATA, 0, 1, said)
    return {
        "opened": opened,
        "frames": opened + data,
        "trailers": opened + data + connection.finish(trailers),
        "goaway": opened + data + connection.goaway(http2.Code.ENHANCE_YOUR_CALM, "calm down"),
        "reset": opened + http2_frame(RST_STREAM, 0, 1, b"\x00\x00\x00\x08"),
        "windows": opened + http2_frame(WINDOW_UPDATE, 0, 1, b"\x00\x01\x00\x00") + data,
    }


def main() -> int:
    """Writes them."""
    made = {
        "http2": conversations(),
        "messages": {"all": b"".join(map(message, frames().values()))},
        "frames": frames(),
        "codec": values(),
        "gate": arguments(),
        "client": server(),
    }
    for target, inputs in made.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for place, (_name, data) in enumerate(sorted(inputs.items())):
            (CORPUS / target / f"{SEED}-{place:03}").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
