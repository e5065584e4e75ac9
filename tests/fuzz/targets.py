"""What is given any bytes: each target takes them or refuses them in the way it says.

A target raises for anything else, and where two ways to the same end differ: bytes that are cut
elsewhere, a large value that is read in pieces, protobuf itself as the judge of our walk of it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from itertools import pairwise
from types import MethodType
from typing import Any
from unittest import mock

from google.protobuf.message import DecodeError as ProtobufError

from python_worker import codec
from python_worker.buffers import Buffer
from python_worker.codec import decoder
from python_worker.exceptions import BridgeError, DecodeError, EncodeError
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.validation.signatures import signature_of
from python_worker.wire import client_frames, grpc_messages, http2
from python_worker.wire.http2_frames import ProtocolViolation
from tests.python.support.annotated import Engine

Target = Callable[[bytes], None]

# What is large here, so that small inputs take the ways of large ones.
SMALL = 24

# An error quotes the beginning of what a client sent, however long that is.
LONGEST_MESSAGE = 20_000


def check_message(error: Exception) -> None:
    """Raises if an error's message is too long."""
    assert len(str(error)) < LONGEST_MESSAGE


def fuzz_http2(data: bytes) -> None:
    """Bytes of a connection, after the preface: the same wherever they are cut."""
    whole = _converse([data])
    dice = random.Random(data)
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randint(1, 6)))
    places = [0, *cuts, len(data)]
    pieces = [data[start:end] for start, end in pairwise(places)]
    assert _converse(pieces) == whole, cuts


def _converse(pieces: list[bytes]) -> tuple[bytes, bytes, str]:
    """What a connection makes of bytes: the body, the answers, and what was wrong."""
    connection, body = http2.Http2(grpc_messages.RESPONSE), bytearray()
    try:
        for piece in pieces:
            for part in connection.receive(piece):
                body += part
    except ProtocolViolation as error:
        connection.goaway(error.code, error.reason)
        # How much of the body was handed on before depends on where it was cut.
        return b"", b"", f"{error.code} {error.reason}"
    return bytes(body), bytes(connection.answers), ""


def fuzz_messages(data: bytes) -> None:
    """The body of a request: gRPC's messages, each a frame of a client."""
    read = [_messages([data]), _messages([data[:3], data[3:11], data[11:]])]
    assert read[0] == read[1]
    for message in read[0][0]:
        fuzz_frames(message)


def _messages(pieces: list[bytes]) -> tuple[list[bytes], str]:
    reader = grpc_messages.MessageReader()
    messages: list[bytes] = []
    try:
        for piece in pieces:
            messages += [bytes(message) for message in reader.push(piece)]
    except grpc_messages.RpcStatus as error:
        return [], error.message
    return messages, ""


def fuzz_frames(data: bytes) -> None:
    """A frame of a client: read in parts as protobuf reads it whole, or refused by both."""
    try:
        whole: pb.ClientFrame | None = pb.ClientFrame.FromString(data)
    except ProtobufError:
        whole = None
    with mock.patch.object(client_frames, "LARGE", SMALL):
        try:
            parts: list[client_frames.Part] | None = list(client_frames.parse(data))
        except ProtobufError as error:
            if GROUPS.search(str(error)):
                return
            parts = None
    assert (whole is None) == (parts is None), "one of the two refuses it"
    if whole is not None and parts is not None:
        joined = pb.ClientFrame()
        for part in parts:
            joined.MergeFrom(_complete(part))
        for each in (whole, joined):
            each.DiscardUnknownFields()
        assert joined == whole


# Protobuf reads fields in the form of groups, which nothing has written since 2008. A large frame
# with one is refused.
GROUPS = re.compile("unknown wire type [34]")


def _complete(part: client_frames.Part) -> pb.ClientFrame:
    frame = pb.ClientFrame()
    frame.CopyFrom(part.frame)
    for call in frame.calls:
        for name, data in part.arguments.get(call.id, {}).items():
            setattr(call.request, name, bytes(data))
    for place, element in part.elements.items():
        frame.inputs[place].element = bytes(element)
    return frame


def fuzz_codec(data: bytes) -> None:
    """A value: read whole as in pieces, and the same again when it was written."""
    small = _decode(data)
    with mock.patch.object(decoder, "LARGE", SMALL):
        large = _decode(data)
    if isinstance(large, Refused) and TOO_LARGE in large:
        return  # An extension type without parts is never large: SMALL bytes of it are too many.
    assert isinstance(small, Refused) == isinstance(large, Refused), (small, large)
    if isinstance(small, Refused):
        return
    assert repr(small) == repr(large)
    try:
        encoded = codec.encode(small)
    except EncodeError:
        return  # as an odd key may be
    # The same bytes in some order: that of a set depends on the order in which it was filled.
    assert sorted(codec.encode(_decode(encoded))) == sorted(encoded)


TOO_LARGE = "that is too many"


class Refused(str):
    """Why bytes are no value."""


def _decode(data: Buffer) -> Any:
    try:
        return codec.decode(
            data, resolve=lambda incarnation, ref: (incarnation, ref), stream=lambda: "stream"
        )
    except DecodeError as error:
        check_message(error)
        return Refused(error)


def fuzz_gate(data: bytes) -> None:
    """Arguments of a call: a map of them, or a list. Taken as annotated, or refused by name."""
    value = _decode(data)
    for signature in SIGNATURES:
        args, kwargs = ([], value) if isinstance(value, dict) else (value, {})
        if not isinstance(args, list) or not all(isinstance(name, str) for name in kwargs):
            continue
        try:
            bound_args, bound_kwargs = signature.bind(args, kwargs)
        except BridgeError as error:
            check_message(error)
            continue
        # What passes fits the signature.
        signature.signature.bind(*bound_args, **bound_kwargs)


SIGNATURES = [
    signature_of(getattr(Engine(), name), strict=True) for name in ("generate", "abort", "anything")
]

OF_VLLM = ("generate", "encode", "abort", "add_lora", "sleep", "wake_up", "collective_rpc")


def add_vllm() -> None:
    """Adds the methods of vLLM's engine to those of the gate, where vLLM is installed."""
    try:
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError:
        print("vLLM is not installed: the gate is fuzzed with the tests' own engine alone")
        return
    for name in OF_VLLM:
        method = MethodType(getattr(AsyncLLM, name), object())
        SIGNATURES.append(signature_of(method, strict=True))


TARGETS: dict[str, Target] = {
    "http2": fuzz_http2,
    "messages": fuzz_messages,
    "frames": fuzz_frames,
    "codec": fuzz_codec,
    "gate": fuzz_gate,
}
