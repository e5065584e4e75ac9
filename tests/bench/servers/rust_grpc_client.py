"""A client of the gRPC service of vLLM's Rust front end, over grpc.aio.

The server offers no reflection, and its protocol is not in vLLM's package. So the few fields that
are used are described here, by their numbers.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.bench.servers import client

_F = descriptor_pb2.FieldDescriptorProto

# message → field → (number, type, or the message that it holds)
FIELDS: dict[str, dict[str, tuple[int, Any]]] = {
    "StoppingCriteria": {"max_new_tokens": (1, _F.TYPE_UINT32), "ignore_eos": (6, _F.TYPE_BOOL)},
    "GenerateRequest": {
        "request_id": (1, _F.TYPE_STRING),
        "text": (3, _F.TYPE_STRING),
        "temperature": (5, _F.TYPE_FLOAT),
        "stopping": (8, "StoppingCriteria"),
    },
    "SequenceOutput": {"text": (2, _F.TYPE_STRING), "num_tokens": (3, _F.TYPE_UINT32)},
    "GenerateResponse": {"outputs": (2, "SequenceOutput")},
}


def messages() -> dict[str, Any]:
    """The classes of the messages, by name."""
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package="vllm")
    file.syntax = "proto3"
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            it = message.field.add(name=field, number=number, label=_F.LABEL_OPTIONAL)
            if isinstance(kind, str):
                it.type, it.type_name = _F.TYPE_MESSAGE, f".vllm.{kind}"
            else:
                it.type = kind
    # With presence: without it a temperature of 0 would not be sent.
    request = file.message_type[1]
    request.oneof_decl.add(name="_temperature")
    request.field[2].proto3_optional, request.field[2].oneof_index = True, 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"vllm.{name}"))
        for name in FIELDS
    }


class RustGrpcClient:
    """Streams of text over one channel."""

    def __init__(self, address: str, prompt: str, tokens: int) -> None:
        self._address = address
        self._messages = messages()
        self._prompt, self._tokens = prompt, tokens
        self._generate: Any = None

    async def answers(self) -> bool:
        """Whether it generates."""
        if self._generate is None:
            channel = grpc.aio.insecure_channel(
                self._address, options=[("grpc.max_reconnect_backoff_ms", 1000)]
            )
            self._generate = channel.unary_stream(
                "/vllm.Inference/GenerateStream",
                request_serializer=self._messages["GenerateRequest"].SerializeToString,
                response_deserializer=self._messages["GenerateResponse"].FromString,
            )
        try:
            return await self.generate(-1) > 0
        except grpc.aio.AioRpcError:
            return False

    async def open(self, streams: int) -> None:
        """Has nothing to prepare: the channel is open."""

    async def generate(self, index: int) -> int:
        """Reads one stream to its end."""
        request = self._messages["GenerateRequest"](
            request_id=f"rust-{index}", text=self._prompt, temperature=0.0
        )
        request.stopping.max_new_tokens = self._tokens
        request.stopping.ignore_eos = True
        tokens = 0
        async for response in self._generate(request):
            tokens += response.outputs.num_tokens
        return tokens


if __name__ == "__main__":
    told = client.options()
    client.run(RustGrpcClient(told.address, told.prompt, told.tokens))
