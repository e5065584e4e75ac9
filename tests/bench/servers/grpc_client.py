"""A client of vLLM's gRPC server: grpc.aio with the stubs that the server comes with."""

from __future__ import annotations

from typing import Any

import grpc
from smg_grpc_proto import vllm_engine_pb2 as pb
from smg_grpc_proto import vllm_engine_pb2_grpc

from tests.bench.servers import client


class GrpcClient:
    """Streams of token ids over one channel."""

    def __init__(self, address: str, prompt: str, tokens: int) -> None:
        self._address = f"unix:{address}"
        self._stub: Any = None
        self._prompt = prompt
        self._params = pb.SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)

    async def answers(self) -> bool:
        """Whether the server's HealthCheck says so."""
        if self._stub is None:
            # Here, because a channel belongs to the loop it is made on. A channel that found no
            # server waits for longer and longer before it looks again.
            channel = grpc.aio.insecure_channel(
                self._address, options=[("grpc.max_reconnect_backoff_ms", 1000)]
            )
            self._stub = vllm_engine_pb2_grpc.VllmEngineStub(channel)
        try:
            return bool((await self._stub.HealthCheck(pb.HealthCheckRequest())).healthy)
        except grpc.aio.AioRpcError:
            return False

    async def open(self, streams: int) -> None:
        """Has nothing to prepare: the channel is open."""

    async def generate(self, index: int) -> int:
        """Reads one stream to its end."""
        tokens = 0
        request = pb.GenerateRequest(
            request_id=f"grpc-{index}", text=self._prompt, sampling_params=self._params, stream=True
        )
        async for response in self._stub.Generate(request):
            # What is complete repeats the last chunk.
            tokens += len(response.chunk.token_ids)
        return tokens


if __name__ == "__main__":
    told = client.options()
    client.run(GrpcClient(told.address, told.prompt, told.tokens))
