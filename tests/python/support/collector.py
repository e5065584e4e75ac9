"""A collector of OpenTelemetry: it takes the spans that workers send over gRPC."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.trace.v1.trace_pb2 import Span

# A guard: spans are sent every 5 s.
SPAN_SECONDS = 60.0


class Collector(service.TraceServiceServicer):
    """What has come, in its order.

    Attributes:
        url: Where it listens.
        spans: The spans.
        services: The names of the services that they are of.
    """

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self._came = threading.Condition()

    def Export(
        self, request: pb.ExportTraceServiceRequest, context: object
    ) -> pb.ExportTraceServiceResponse:
        """Takes some spans."""
        with self._came:
            for resource in request.resource_spans:
                self.services |= {
                    it.value.string_value
                    for it in resource.resource.attributes
                    if it.key == "service.name"
                }
                for scope in resource.scope_spans:
                    self.spans += scope.spans
            self._came.notify_all()
        return pb.ExportTraceServiceResponse()

    def span(self, wanted: Callable[[Span], bool]) -> Span:
        """Waits for a span; the first of its kind."""
        with self._came:
            assert self._came.wait_for(lambda: any(map(wanted, self.spans)), SPAN_SECONDS), (
                f"only {sorted({it.name for it in self.spans})} have come"
            )
            return next(filter(wanted, self.spans))


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that serves until the block ends."""
    collector = Collector()
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        service.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield collector
        finally:
            server.stop(None).wait()
