defmodule Vllm.Core.Telemetry.Trace do
  @moduledoc false
  # Reads the trace context of the calling process from OpenTelemetry, as headers for vLLM's parameter
  # `trace_headers`. Without OpenTelemetry this costs two lookups in the table of loaded modules.

  # The headers that vLLM reads. A propagator may add others, such as baggage.
  @headers ["traceparent", "tracestate"]

  @propagator :otel_propagator_text_map

  @doc "The headers, or nil outside of a trace."
  @spec headers() :: %{String.t() => String.t()} | nil
  def headers do
    with true <- loaded?(),
         # By apply, because OpenTelemetry is not a dependency.
         carrier = apply(@propagator, :inject, [[]]),
         [_ | _] = headers <- Enum.filter(carrier, &match?({name, _} when name in @headers, &1)) do
      Map.new(headers)
    else
      _none -> nil
    end
  end

  # In development a module is loaded when it is first used. A process with a span has loaded otel_ctx.
  defp loaded? do
    function_exported?(@propagator, :inject, 1) or
      (function_exported?(:otel_ctx, :get_current, 0) and
         Code.ensure_loaded?(@propagator) and function_exported?(@propagator, :inject, 1))
  end
end
