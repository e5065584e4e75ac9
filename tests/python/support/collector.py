"""A collector of OpenTelemetry: it takes the spans that workers send over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(service.TraceServiceServicer):
    """What has come, in its order."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.came = asyncio.Condition()

    async def Export(
        self, request: pb.ExportTraceServiceRequest, context: object
    ) -> pb.ExportTraceServiceResponse:
        """Takes some spans."""
        for resource in request.resource_spans:
            self.services |= {
                it.value.string_value
                for it in resource.resource.attributes
                if it.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.spans += scope.spans
        async with self.came:
            self.came.notify_all()
        return pb.ExportTraceServiceResponse()

    async def span(self, wanted: Callable[[Span], bool]) -> Span:
        """The first span of its kind; waits until it has come."""
        async with self.came:
            await self.came.wait_for(lambda: any(map(wanted, self.spans)))
        return next(filter(wanted, self.spans))


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    """A collector, and its URL."""
    collector = Collector()
    server = grpc.aio.server()
    service.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)
