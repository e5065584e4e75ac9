"""A span for each call, in the caller's trace, and the engine's spans below it."""

from __future__ import annotations

import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from python_worker.dispatch import call_spans
from python_worker.dispatch.call_spans import CallSpan, CallSpans
from python_worker.exceptions import Cancelled, InvalidArgument
from python_worker.settings import SettingsError
from python_worker.validation.renamed_parameters import GivenArguments

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b"}

TRACING = types.SimpleNamespace(
    observability_config=types.SimpleNamespace(otlp_traces_endpoint="http://host:4317")
)
NOT_TRACING = types.SimpleNamespace(
    observability_config=types.SimpleNamespace(otlp_traces_endpoint=None)
)


@pytest.fixture
def exported() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(exported: InMemorySpanExporter) -> Iterator[CallSpans]:
    spans = CallSpans(exported)
    yield spans
    spans._provider.shutdown()


def only(spans: CallSpans, exported: InMemorySpanExporter) -> ReadableSpan:
    spans._provider.force_flush()
    (span,) = exported.get_finished_spans()
    return span


def taken(call: CallSpan, target: object, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name that the target gets."""
    arguments = GivenArguments([], [], kwargs)
    call.take_headers(target, arguments)
    return arguments.kwargs


def context_of(headers: dict[str, str]) -> tuple[int, int]:
    _, trace, span, _ = headers["traceparent"].split("-")
    return int(trace, 16), int(span, 16)


def test_a_call_is_a_child_of_its_callers_span_and_the_engine_of_the_call(
    spans: CallSpans, exported: InMemorySpanExporter
) -> None:
    call = spans.call("generate", "AsyncLLM", "ref-1")
    kwargs = taken(call, NOT_TRACING, {"prompt": "p", "trace_headers": {**HEADERS, "x": "y"}})
    call.end(None)
    span = only(spans, exported)
    assert (span.name, span.kind) == ("text_completion", SpanKind.SERVER)
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == context_of(HEADERS)
    assert context_of(kwargs["trace_headers"]) == (span.context.trace_id, span.context.span_id)
    assert (kwargs["prompt"], kwargs["trace_headers"]["x"]) == ("p", "y")
    assert kwargs["trace_headers"]["tracestate"] == "a=b"
    assert span.attributes == {
        "rpc.system": "vllm_bridge",
        "rpc.service": "AsyncLLM",
        "rpc.method": "generate",
        "vllm_bridge.ref": "ref-1",
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "vllm",
    }
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= call.came <= span.end_time
    assert span.resource.attributes["service.name"] == "vllm_bridge"


def test_headers_by_position_are_headers(spans: CallSpans, exported: InMemorySpanExporter) -> None:
    call = spans.call("encode", "AsyncLLM", "")
    arguments = GivenArguments(["prompt", "trace_headers"], ["p", HEADERS], {})
    call.take_headers(NOT_TRACING, arguments)
    call.end(None)
    span = only(spans, exported)
    assert span.parent is not None
    assert arguments.args[0] == "p"
    assert context_of(arguments.args[1])[1] == span.context.span_id
    assert arguments.kwargs == {}


@pytest.mark.parametrize(
    ("target", "told"), [(TRACING, True), (NOT_TRACING, False), (object(), False)]
)
@pytest.mark.parametrize("given", [{}, {"trace_headers": None}])
def test_without_headers_an_engine_that_traces_is_told_of_the_calls_span(
    target: Any,
    told: bool,
    given: dict[str, Any],
    spans: CallSpans,
    exported: InMemorySpanExporter,
) -> None:
    call = spans.call("generate", "AsyncLLM", "")
    kwargs = taken(call, target, given)
    call.end(None)
    span = only(spans, exported)
    assert span.parent is None
    assert (kwargs.get("trace_headers") is not None) is told
    if told:
        assert context_of(kwargs["trace_headers"])[1] == span.context.span_id


@pytest.mark.parametrize("given", [5, {"traceparent": 5}, ["traceparent"], {1: "x"}])
def test_what_are_no_headers_is_left_to_the_engines_checks(
    given: object, spans: CallSpans, exported: InMemorySpanExporter
) -> None:
    call = spans.call("generate", "AsyncLLM", "")
    assert taken(call, TRACING, {"trace_headers": given}) == {"trace_headers": given}
    call.end(None)
    assert only(spans, exported).parent is None


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (InvalidArgument("the prompt 'secret'"), "invalid", StatusCode.ERROR),
        (Cancelled("the client is gone"), "cancelled", StatusCode.UNSET),
        (RuntimeError("secret"), "python", StatusCode.ERROR),
        (StopIteration("secret"), "python", StatusCode.ERROR),
        (SystemExit(), "python", StatusCode.ERROR),
    ],
)
def test_a_failure_is_named_by_its_kind_and_not_quoted(
    error: BaseException,
    kind: str,
    status: StatusCode,
    spans: CallSpans,
    exported: InMemorySpanExporter,
) -> None:
    # As of a call whose arguments could not even be read.
    spans.call("generate", "AsyncLLM", "").end(error)
    span = only(spans, exported)
    assert span.attributes is not None
    assert span.attributes["error.type"] == kind
    assert span.status.status_code is status
    assert "secret" not in span.to_json()


def test_a_request_is_named_by_its_operation_and_model_and_has_what_its_answer_says(
    spans: CallSpans, exported: InMemorySpanExporter
) -> None:
    config = types.SimpleNamespace(served_model_name="smollm")
    call = spans.call("chat", "AsyncLLM", "ref-1", types.SimpleNamespace(model_config=config))
    usage = types.SimpleNamespace(prompt_tokens=4, completion_tokens=6)
    choice = types.SimpleNamespace(finish_reason="stop", message="secret")
    call.answered(types.SimpleNamespace(model="pirate", usage=usage, choices=[choice]))
    call.end(None)
    span = only(spans, exported)
    assert span.name == "chat smollm"
    assert span.attributes is not None
    named = {name: it for name, it in span.attributes.items() if name.startswith("gen_ai.")}
    assert named == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "smollm",
        "gen_ai.response.model": "pirate",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 4,
        "gen_ai.usage.output_tokens": 6,
    }
    assert "secret" not in span.to_json()


def test_a_call_that_is_no_request_is_named_by_class_and_method(
    spans: CallSpans, exported: InMemorySpanExporter
) -> None:
    call = spans.call("get_status", "AsyncLLM", "ref-1")
    call.answered(types.SimpleNamespace(prompt_token_ids=[1]))
    call.end(None)
    span = only(spans, exported)
    assert span.name == "AsyncLLM.get_status"
    assert span.attributes is not None
    assert not any(name.startswith("gen_ai.") for name in span.attributes)


def test_names_that_a_client_makes_up_have_an_end(
    spans: CallSpans, exported: InMemorySpanExporter
) -> None:
    spans.call("m" * 10_000, "c" * 10_000, "r" * 10_000).end(None)
    span = only(spans, exported)
    assert span.name == "c" * 100 + "." + "m" * 100
    assert span.attributes is not None
    assert span.attributes["vllm_bridge.ref"] == "r" * 100


async def test_a_flush_sends_what_has_not_been_sent(
    spans: CallSpans, exported: InMemorySpanExporter
) -> None:
    spans.call("status", "Worker", "").end(None)
    assert exported.get_finished_spans() == ()
    await spans.flush()
    assert [span.name for span in exported.get_finished_spans()] == ["Worker.status"]


async def test_a_collector_that_does_not_answer_keeps_nobody(
    spans: CallSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(call_spans, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(spans._provider, "force_flush", answers.wait)
    await spans.flush()
    answers.set()


def test_a_service_has_the_name_that_the_operator_gives_it(
    exported: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "theirs")
    spans = CallSpans(exported)
    spans.call("status", "Worker", "").end(None)
    assert only(spans, exported).resource.attributes["service.name"] == "theirs"
    spans._provider.shutdown()


def test_the_protocol_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call_spans.call_spans(None) is None
    for protocol, module in (("grpc", ".grpc."), ("http/protobuf", ".http.")):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol)
        exporter = call_spans.exporter("http://127.0.0.1:4317")
        assert module in type(exporter).__module__
        exporter.shutdown()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "smoke")
    with pytest.raises(SettingsError, match="smoke"):
        call_spans.exporter("http://127.0.0.1:4317")
