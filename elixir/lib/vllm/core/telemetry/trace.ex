defmodule Vllm.Core.Telemetry.Trace do
  @moduledoc false
  # The caller's trace context, as headers for vLLM's parameter `trace_headers`.
  #
  # Of OpenTelemetry's API only what it says of the calling process is asked for. Where the
  # application has none of it, two looks at the table of loaded modules are all that happens.

  # What vLLM reads. Others that a propagator adds, such as baggage, are not for it.
  @headers ["traceparent", "tracestate"]

  @propagator :otel_propagator_text_map

  @doc "The headers, or nil outside of a trace."
  @spec headers() :: %{String.t() => String.t()} | nil
  def headers do
    with true <- loaded?(),
         # By apply: OpenTelemetry is not a dependency.
         carrier = apply(@propagator, :inject, [[]]),
         [_ | _] = headers <- Enum.filter(carrier, &match?({name, _} when name in @headers, &1)) do
      Map.new(headers)
    else
      _none -> nil
    end
  end

  # In development a module is loaded when it is first used. Whoever has a span has otel_ctx.
  defp loaded? do
    function_exported?(@propagator, :inject, 1) or
      (function_exported?(:otel_ctx, :get_current, 0) and
         Code.ensure_loaded?(@propagator) and function_exported?(@propagator, :inject, 1))
  end
end
