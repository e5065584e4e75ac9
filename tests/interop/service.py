"""gRPC's TestService, at a listener that is made as the worker's is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from python_worker.rpc.grpc_server import GrpcServer

PROTO = "tests/interop/test_service.proto"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


class TestService:
    """The service. Its messages are made from the ``.proto`` file when it is."""

    __test__ = False

    def __init__(self) -> None:
        self._pb: Any = grpc.protos(PROTO)

    def register(self, server: grpc.aio.Server) -> None:
        """Adds the service to a server."""
        services: Any = grpc.services(PROTO)
        services.add_TestServiceServicer_to_server(self, server)

    async def EmptyCall(self, request: Any, context: Any) -> Any:
        return self._pb.Empty()

    async def UnaryCall(self, request: Any, context: Any) -> Any:
        await self._echo_metadata(context)
        await _abort_as_asked(request, context)
        return self._pb.SimpleResponse(payload=self._payload(request.response_size))

    async def StreamingOutputCall(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for parameters in request.response_parameters:
            await asyncio.sleep(parameters.interval_us / 1_000_000)
            payload = self._payload(parameters.size)
            yield self._pb.StreamingOutputCallResponse(payload=payload)

    async def StreamingInputCall(self, requests: AsyncIterator[Any], context: Any) -> Any:
        size = 0
        async for request in requests:
            size += len(request.payload.body)
        return self._pb.StreamingInputCallResponse(aggregated_payload_size=size)

    async def FullDuplexCall(
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        async for request in requests:
            await _abort_as_asked(request, context)
            async for response in self.StreamingOutputCall(request, context):
                yield response

    def _payload(self, size: int) -> Any:
        return self._pb.Payload(body=bytes(size))

    @staticmethod
    async def _echo_metadata(context: Any) -> None:
        given = dict(context.invocation_metadata())
        if INITIAL in given:
            await context.send_initial_metadata(((INITIAL, given[INITIAL]),))
        if TRAILING in given:
            context.set_trailing_metadata(((TRAILING, given[TRAILING]),))


async def _abort_as_asked(request: Any, context: Any) -> None:
    if request.response_status.code:
        code = next(it for it in grpc.StatusCode if it.value[0] == request.response_status.code)
        await context.abort(code, request.response_status.message)


def make_server() -> GrpcServer:
    """A server with the worker's options and this service."""
    return GrpcServer(TestService().register)
