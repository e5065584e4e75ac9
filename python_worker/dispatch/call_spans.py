"""Spans of calls for OpenTelemetry, as children of the caller's.

A call belongs to the trace whose headers it brings in ``trace_headers``, as vLLM's requests do. The
engine gets the headers of the call's own span in their place, so that vLLM's spans of the request
are below it. Other calls begin a trace of their own. A span names the method, the object and how
the call ended; that of a request also the model and the tokens (``request_attributes``). It has no
argument and no message, which could quote a prompt.

The provider is not that of the process, which belongs to vLLM: an engine that is built with
``otlp_traces_endpoint`` sets it. OpenTelemetry is imported only where spans are asked for; vLLM
requires its packages.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from python_worker import __version__, failures
from python_worker.dispatch import request_attributes
from python_worker.engines.metrics import model_name
from python_worker.exceptions import Kind
from python_worker.settings import SettingsError
from python_worker.validation.renamed_parameters import GivenArguments

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

TRACE_HEADERS = "trace_headers"

SERVICE_NAME = "vllm_bridge"

PROTOCOL_VARIABLE = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"

# Characters of a name that a client has sent.
MAX_NAME = 100

# How long the last spans may take to leave when the worker stops.
FLUSH_SECONDS = 2.0


class CallSpans:
    """Makes the spans of a worker.

    Args:
        exporter: Where they go.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # What the operator calls the service, in OTEL_SERVICE_NAME, goes before this.
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": SERVICE_NAME}
        self._provider = TracerProvider(
            resource=Resource.create({**named, "process.pid": os.getpid()}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE_NAME, __version__)
        self._propagator = TraceContextTextMapPropagator()

    def call(self, method: str, name: str, ref: str, target: object = None) -> CallSpan:
        """The span of a call that has come in now.

        Args:
            method: What is called.
            name: The class of the object.
            ref: The object's reference; empty for a class.
            target: The object; None for a class.
        """
        return CallSpan(self, method, name, ref, model_name(target))

    async def flush(self) -> None:
        """Sends what has not been sent, for some seconds at most."""
        # A collector that does not answer keeps the thread for longer than it is asked to.
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await asyncio.to_thread(self._provider.force_flush)

    def begin(self, call: CallSpan, headers: Mapping[str, str] | None) -> Span:
        """Starts the span of a call, as a child of what the headers name."""
        from opentelemetry.trace import SpanKind

        attributes: request_attributes.Attributes = {
            "rpc.system": SERVICE_NAME,
            "rpc.service": call.name,
            "rpc.method": call.method,
        }
        if call.ref:
            attributes["vllm_bridge.ref"] = call.ref
        name = f"{call.name}.{call.method}"
        if call.operation is not None:
            attributes |= request_attributes.of_request(call.operation, call.model)
            name = " ".join(filter(None, (call.operation, call.model)))
        return self._tracer.start_span(
            name,
            context=self._propagator.extract(headers) if headers else None,
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=call.came,
        )

    def headers(self, span: Span) -> dict[str, str]:
        """The headers that make spans of others children of this one."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier


class CallSpan:
    """The span of one call. It starts when its headers are known, dated back to the arrival."""

    def __init__(
        self, spans: CallSpans, method: str, name: str, ref: str, model: str | None = None
    ) -> None:
        # What a client sends may have any length.
        self.method, self.name, self.ref = method[:MAX_NAME], name[:MAX_NAME], ref[:MAX_NAME]
        self.operation = request_attributes.OPERATIONS.get((name, method))
        self.model = model
        self.came = time.time_ns()
        self._spans = spans
        self._span: Span | None = None
        self._answered: request_attributes.Attributes = {}

    def take_headers(self, target: object, arguments: GivenArguments) -> None:
        """Joins the caller's trace, and has the engine join this span.

        Args:
            target: The object that is called, by a method that takes headers.
            arguments: The arguments, which nobody has checked.
        """
        given = arguments.get(TRACE_HEADERS)
        headers = given if is_headers(given) else None
        self._span = self._spans.begin(self, headers)
        if headers is not None or (given is None and traces_requests(target)):
            below = {**(headers or {}), **self._spans.headers(self._span)}
            arguments.set(TRACE_HEADERS, below)

    def answered(self, answer: object, *, whole: bool = True, single: bool = True) -> None:
        """The call has a result, or its stream a last item, as of ``of_answer``."""
        if self.operation is not None:
            self._answered = request_attributes.of_answer(answer, whole=whole, single=single)

    def end(self, error: BaseException | None) -> None:
        """The call is over, by an error or without."""
        span = self._span or self._spans.begin(self, None)
        span.set_attributes(self._answered)
        if error is not None:
            self._fail(span, error)
        span.end()

    def _fail(self, span: Span, error: BaseException) -> None:
        from opentelemetry.trace import StatusCode

        try:
            kind = failures.kind_of(error)
        except Exception:  # as in ``Call``: what failed must not fail again by being described
            kind = Kind.PYTHON
        span.set_attribute("error.type", kind.name.lower())
        if kind is not Kind.CANCELLED:
            span.set_status(StatusCode.ERROR, kind.name.lower())


def is_headers(value: object) -> bool:
    """Whether an argument is a map of texts; what else it is, the engine's checks say."""
    return isinstance(value, dict) and all(
        isinstance(it, str) for pair in value.items() for it in pair
    )


def traces_requests(target: object) -> bool:
    """Whether an engine makes spans of its requests; one that does not warns of headers."""
    config = getattr(target, "observability_config", None)
    return getattr(config, "otlp_traces_endpoint", None) is not None


def exporter(endpoint: str) -> SpanExporter:
    """What sends spans to a collector, by gRPC unless the environment says ``http/protobuf``.

    Raises:
        SettingsError: The library is not there, or the protocol is none of the two.
    """
    protocol = os.environ.get(PROTOCOL_VARIABLE, "grpc")
    try:
        if protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as by_grpc

            return by_grpc.OTLPSpanExporter(endpoint=endpoint)
        if protocol == "http/protobuf":
            from opentelemetry.exporter.otlp.proto.http import trace_exporter as by_http

            return by_http.OTLPSpanExporter(endpoint=endpoint)
    except ImportError as error:
        raise SettingsError(
            f"--otlp-endpoint: {error}; the packages of OpenTelemetry come with vLLM"
        ) from error
    raise SettingsError(f"{PROTOCOL_VARIABLE} is grpc or http/protobuf, got {protocol!r}")


def call_spans(endpoint: str | None) -> CallSpans | None:
    """The spans of a worker; None where none are asked for.

    Raises:
        SettingsError: See ``exporter``.
    """
    return None if endpoint is None else CallSpans(exporter(endpoint))
