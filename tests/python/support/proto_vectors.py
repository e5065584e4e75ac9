"""Messages as Python's protobuf writes them, for the Elixir codec to read and to write.

    python -m tests.python.support.proto_vectors      writes tests/vectors/proto.exs

Elixir's test decodes each vector's bytes and expects the message. Where the vector is
canonical it also expects to encode the message to the same bytes, which are then what
Python reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from python_worker.gen.elixir.text import format_all, string
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

PATH = Path(__file__).resolve().parents[2] / "vectors/proto.exs"

HEADER = """\
# Made by `python -m tests.python.support.proto_vectors`: Python's protobuf wrote the bytes.
# A vector without a message is malformed: Python's protobuf refuses it.
"""

UINTS = [0, 1, 127, 128, 16_383, 16_384, 2**21 - 1, 2**21, 2**28 - 1, 2**28, 2**32, 2**64 - 1]
SIZES = [0, 1, 127, 128, 300]


@dataclass(frozen=True)
class Vector:
    """Bytes, and what they mean.

    Attributes:
        name: What the vector is for.
        message: What Python's protobuf reads; None where it refuses the bytes.
        kind: The class of the message.
        wire: The bytes.
        canonical: Whether the message is written as these bytes.
    """

    name: str
    kind: type[Message]
    wire: bytes
    message: Message | None
    canonical: bool = True


def vectors() -> list[Vector]:
    """Gives all vectors."""
    return [
        *(Vector(name, type(m), m.SerializeToString(), m) for name, m in _written()),
        *(_read(name, kind, bytes.fromhex(wire)) for name, kind, wire in _READ),
        *(_refused(name, kind, bytes.fromhex(wire)) for name, kind, wire in _REFUSED),
    ]


def _written() -> Iterator[tuple[str, Message]]:
    for kind in (pb.ClientFrame, pb.ServerFrame, pb.CallReply, pb.Failure, pb.Accepted):
        yield f"empty {kind.DESCRIPTOR.name}", kind()
    yield (
        "client hello",
        pb.ClientFrame(hello=pb.ClientHello(protocol_version=1, client_version="0.1.0", token="é")),
    )
    yield (
        "client hello of a session that was lost",
        pb.ClientFrame(
            hello=pb.ClientHello(
                protocol_version=1, disconnect_grace_ms=30_000, resume_key=bytes(range(32))
            )
        ),
    )
    yield "a client that leaves", pb.ClientFrame(leaving=True)
    for number in UINTS:
        yield f"cancel {number}", pb.ClientFrame(cancels=[number])
        yield f"reply to call {number}", pb.CallReply(call=number, end=pb.End())
    yield "all unsigned integers, packed", pb.ClientFrame(cancels=UINTS)
    for size in SIZES:
        yield f"item of {size} bytes", pb.CallReply(call=7, item=b"\x00" * size)
        yield f"value of {size} bytes", pb.CallReply(call=7, value=b"\xff" * size)
    request = pb.CallRequest(
        ref="e1", incarnation="ab" * 16, method="generate", args=b"\x91\x01", timeout_ms=5000
    )
    yield "call of a reference", request
    yield "call for texts alone", pb.CallRequest(ref="e1", items=pb.ITEMS_TEXT)
    yield "call of a class", pb.CallRequest(class_name="AsyncLLM", kwargs=b"\x80")
    yield "call of a reference without a name", pb.CallRequest(ref="")
    yield (
        "client frame with everything but hello",
        pb.ClientFrame(
            calls=[pb.StartCall(id=1, request=request, credit=64), pb.StartCall(id=2)],
            credits=[pb.Credit(call=1, items=32), pb.Credit(call=300, items=1)],
            cancels=[5, 6],
            releases=["o1", "", "o2"],
            receipts=["e1"],
            inputs=[
                pb.Input(call=1, element=b"\x01"),
                pb.Input(call=2, end=pb.End()),
                pb.Input(call=3, failure=pb.Failure(message="boom")),
            ],
        ),
    )
    yield "an input is wanted", pb.CallReply(call=1, input_wanted=pb.InputWanted())
    yield "inputs are closed", pb.CallReply(call=1, inputs_closed=pb.InputsClosed())
    yield (
        "server hello",
        pb.ServerFrame(
            hello=pb.ServerHello(
                protocol_version=1, worker_version="0.1.0", incarnation="cd" * 16, pid=2**22
            )
        ),
    )
    yield (
        "server hello of a session that goes on",
        pb.ServerFrame(
            hello=pb.ServerHello(
                protocol_version=1, resume_key=bytes(range(32)), resumed=True, held=["a", "b", "a"]
            )
        ),
    )
    failure = pb.Failure(
        kind=pb.FAILURE_KIND_ENGINE_DEAD,
        message="the engine is gone",
        type="vllm.v1.engine.exceptions.EngineDeadError",
        cause=pb.Failure(kind=pb.FAILURE_KIND_PYTHON, cause=pb.Failure(message="first")),
        details=b"\x80",
        retryable=True,
    )
    yield "failure with causes", failure
    yield "session refused", pb.ServerFrame(failure=failure)
    yield (
        "notices",
        pb.ServerFrame(
            notices=[
                pb.Notice(draining=pb.Draining(grace_ms=30_000)),
                pb.Notice(engine_died=pb.EngineDied(ref="e1", failure=failure)),
                pb.Notice(
                    engine_stalled=pb.EngineStalled(
                        ref="e1", stalled_ms=120_000, unfinished_requests=3
                    )
                ),
                pb.Notice(engine_recovered=pb.EngineRecovered(ref="e1", stalled_ms=130_000)),
                pb.Notice(
                    adapter_partly_used=pb.AdapterPartlyUsed(
                        ref="e1",
                        lora_name="sql",
                        lora_int_id=2**62,
                        lora_path="/adapters/sql",
                        unknown_modules=["a.*.b", "c"],
                        empty_targets=["q_proj"],
                        model_modules=["m"],
                    )
                ),
                pb.Notice(),
            ]
        ),
    )
    yield (
        "loads",
        pb.ServerFrame(
            loads=[
                pb.EngineLoad(ref="e1", running=300, waiting=2**32 - 1, kv_cache_permille=1000),
                pb.EngineLoad(ref="e2"),
            ],
            replies=[pb.CallReply(call=1, item=b"x")],
        ),
    )
    for number in pb.FailureKind.values():
        yield f"failure kind {number}", pb.Failure(kind=pb.FailureKind.Name(number))
    yield (
        "one step of the engine",
        pb.ServerFrame(
            replies=[pb.CallReply(call=1000 + n, item=b"item %d" % n) for n in range(20)]
        ),
    )


_READ: list[tuple[str, type[Message], str]] = [
    ("cancels one by one", pb.ClientFrame, "20 01 20 80 01 20 ff ff ff ff ff ff ff ff ff 01"),
    ("cancels packed, alone, packed", pb.ClientFrame, "22 02 01 02 20 03 22 01 04"),
    ("no cancels, packed", pb.ClientFrame, "22 00"),
    ("unknown varint", pb.Credit, "a0 06 96 01 08 01"),
    ("unknown 64 bits", pb.Credit, "a1 06 01 02 03 04 05 06 07 08 08 01"),
    ("unknown bytes", pb.Credit, "a2 06 03 01 02 03 08 01"),
    ("unknown 32 bits", pb.Credit, "a5 06 01 02 03 04 08 01"),
    ("unknown field of an empty message", pb.End, "0a 01 00"),
    ("number given twice", pb.Credit, "08 01 10 05 08 02"),
    ("outcome given twice", pb.CallReply, "12 01 61 1a 00 22 01 62"),
    ("fields in another order", pb.Credit, "10 05 08 01"),
    ("varints longer than need be", pb.Credit, "08 81 80 00 10 85 80 80 80 80 80 80 80 80 00"),
    ("length longer than need be", pb.CallReply, "12 81 00 61"),
    ("length of four bytes", pb.CallReply, "22 81 80 80 00 61"),
    ("id of five bytes", pb.CallReply, "08 80 80 80 80 10 2a 00"),
    ("too much for 32 bits", pb.Credit, "10 ff ff ff ff 7f"),
    ("boolean of two", pb.Failure, "38 02"),
    ("unknown failure kind", pb.Failure, "08 63"),
    ("negative failure kind", pb.Failure, "08 ff ff ff ff ff ff ff ff ff 01"),
]

_REFUSED: list[tuple[str, type[Message], str]] = [
    ("ends after a tag", pb.CallReply, "08"),
    ("ends within a varint", pb.CallReply, "08 80"),
    ("ends within a long varint", pb.CallReply, "08 80 80 80 80 80"),
    ("ends within a length", pb.CallReply, "12 80"),
    ("ends within bytes", pb.CallReply, "12 03 61 62"),
    ("ends within a message", pb.ServerFrame, "12 05 08 01"),
    ("message ends within its field", pb.ServerFrame, "12 02 08 80"),
    ("cause ends within its field", pb.Failure, "2a 02 12 05"),
    ("length beyond everything", pb.CallReply, "12 ff ff ff ff 0f 61"),
    ("varint of eleven bytes", pb.CallReply, "08 ff ff ff ff ff ff ff ff ff ff 01"),
    ("packed ends within a varint", pb.ClientFrame, "22 02 01 80"),
    ("unknown 64 bits cut", pb.Credit, "a1 06 01 02"),
    ("unknown 32 bits cut", pb.Credit, "a5 06 01"),
    ("field number zero", pb.Credit, "00 01"),
    ("end of a group", pb.Credit, "a4 06"),
    ("wire type 6", pb.Credit, "a6 06"),
]


def _read(name: str, kind: type[Message], wire: bytes) -> Vector:
    return Vector(name, kind, wire, kind.FromString(wire), canonical=False)


def _refused(name: str, kind: type[Message], wire: bytes) -> Vector:
    try:
        kind.FromString(wire)
    except DecodeError:
        return Vector(name, kind, wire, None, canonical=False)
    raise AssertionError(f"Python reads {name!r}")


def text() -> str:
    """Gives the file for Elixir; needs elixir, whose formatter has the last word."""
    entries = ",\n".join(_entry(vector) for vector in vectors())
    return format_all({"proto.exs": f"{HEADER}[\n{entries}\n]"})["proto.exs"]


def _entry(vector: Vector) -> str:
    message = "nil" if vector.message is None else _elixir(vector.message)
    return (
        f"%{{name: {string(vector.name)}, module: {_module(vector.kind.DESCRIPTOR)}, "
        f"canonical: {str(vector.canonical).lower()}, "
        f"bytes: {string(vector.wire.hex())}, message: {message}}}"
    )


def _module(descriptor: Any) -> str:
    return f"Vllm.Proto.{descriptor.name}"


def _elixir(message: Message) -> str:
    """Writes a message as an Elixir struct, its defaults left out."""
    fields = []
    for field, value in message.ListFields():
        if field.is_repeated:
            written = f"[{', '.join(_value(field, item) for item in value)}]"
        else:
            written = _value(field, value)
        if field.containing_oneof is not None:
            fields.append(f"{field.containing_oneof.name}: {{:{field.name}, {written}}}")
        else:
            fields.append(f"{field.name}: {written}")
    return f"%{_module(message.DESCRIPTOR)}{{{', '.join(fields)}}}"


def _value(field: FieldDescriptor, value: Any) -> str:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _elixir(value)
    if field.enum_type is not None:
        enum = {"FailureKind": pb.FailureKind, "Items": pb.Items}[field.enum_type.name]
        if value not in enum.values():
            return str(value)
        prefix = enum.Name(0).removesuffix("UNSPECIFIED")
        return ":" + enum.Name(value).removeprefix(prefix).lower()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return f"<<{', '.join(map(str, value))}>>"
    if isinstance(value, bool):
        return str(value).lower()
    return string(value) if isinstance(value, str) else str(value)


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
