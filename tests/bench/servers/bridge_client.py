"""A client of the bridge that is not Elixir: grpc.aio with the stubs of ``proto/``.

The address is ``ADDRESS#TOKEN#REFERENCE#INCARNATION``: where the worker serves gRPC, what it asks
for, and its engine. Each stream is an rpc.
"""

from __future__ import annotations

import grpc
import msgpack

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.generated.vllm_bridge.v1 import service_pb2_grpc
from tests.bench.servers import client
from tests.python.support.client import sampling
from tests.python.support.values import encode

# The extension type of a patch, and its parts: mode, finished, completions, changes.
PATCH = 13
COMPLETIONS, TOKEN_IDS = 2, 2


class BridgeClient:
    """Streams of outputs over one channel."""

    def __init__(self, address: str, prompt: str, tokens: int) -> None:
        self._address, token, self._ref, self._incarnation = address.split("#")
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._stub: service_pb2_grpc.BridgeStub | None = None
        self._prompt = prompt
        self._params = sampling(
            max_tokens=tokens, temperature=0.0, ignore_eos=True, output_kind="DELTA"
        )

    async def answers(self) -> bool:
        """The worker serves already."""
        self._stub = service_pb2_grpc.BridgeStub(grpc.aio.insecure_channel(self._address))
        return True

    async def open(self, streams: int) -> None:
        """Has nothing to prepare: the channel is open."""

    async def generate(self, index: int) -> int:
        """Reads one stream to its end."""
        request = pb.CallRequest(
            ref=self._ref,
            incarnation=self._incarnation,
            method="generate",
            args=encode([self._prompt, self._params, f"grpc-{index}"]),
        )
        assert self._stub is not None
        tokens = 0
        async for reply in self._stub.Stream(request, metadata=self._metadata):
            if reply.WhichOneof("outcome") == "failure":
                raise RuntimeError(reply.failure.message)
            tokens += count(reply.item) if reply.item else 0
        return tokens


def count(item: bytes) -> int:
    """How many tokens an item brings."""
    value = msgpack.unpackb(item, strict_map_key=False)
    if value.code == PATCH:
        patch = msgpack.unpackb(value.data, strict_map_key=False)
        return sum(len(completion[TOKEN_IDS]) for completion in patch[COMPLETIONS])
    _name, fields = msgpack.unpackb(value.data, strict_map_key=False)
    outputs = (msgpack.unpackb(it.data, strict_map_key=False)[1] for it in fields["outputs"])
    return sum(len(output["token_ids"]) for output in outputs)


if __name__ == "__main__":
    told = client.options()
    client.run(BridgeClient(told.address, told.prompt, told.tokens))
