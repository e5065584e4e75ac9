defmodule Vllm.Core.Telemetry.TraceTest do
  # Defines the module :otel_propagator_text_map while it runs.
  use Vllm.FakeWorkerCase

  import Vllm.StandIns

  alias Vllm.Codec
  alias Vllm.Core.Telemetry.Trace

  defp decoded(bytes) do
    {:ok, term} = Codec.decode(bytes, {X, node()})
    term
  end

  describe "the trace of the calling process" do
    @headers [{"traceparent", "00-1-2-01"}, {"tracestate", "a=b"}]

    defp sent(context, method, args, opts \\ []) do
      Process.put(:headers, [{"baggage", "user=secret"} | @headers])
      FakeWorker.answer(context.fake, 1, value(nil))
      Vllm.call(context.ref, method, args, opts)
      kwargs = assert_call(1).request.kwargs
      if kwargs == "", do: nil, else: decoded(kwargs)["trace_headers"]
    end

    test "is sent with every request", context do
      open_telemetry()
      assert sent(context, "generate", ["prompt", [], "r"]) == Map.new(@headers)
    end

    test "is sent with add_request and encode", context do
      open_telemetry()
      assert sent(context, "add_request", ["r", "prompt", []]) == Map.new(@headers)
      FakeWorker.answer(context.fake, 2, value(nil))
      Vllm.call(context.ref, "encode", ["prompt", [], "r"])
      assert decoded(assert_call(2).request.kwargs)["trace_headers"] == Map.new(@headers)
    end

    for method <- ~w(chat stream_chat embed classify score encode_batch) do
      test "is sent with #{method}", context do
        open_telemetry()
        assert sent(context, unquote(method), [%{}]) == Map.new(@headers)
      end
    end

    test "is replaced by headers that are given", context do
      open_telemetry()
      own = %{"traceparent" => "mine"}
      assert sent(context, "generate", ["prompt", [], "r"], trace_headers: own) == own
    end

    test "is replaced by headers that are given by position", context do
      open_telemetry()
      assert sent(context, "encode", ["prompt", [], "r", nil, %{"traceparent" => "x"}]) == nil
    end

    test "is not sent with trace: false", context do
      open_telemetry()
      assert sent(context, "generate", ["prompt", [], "r"], rpc: [trace: false]) == nil
    end

    test "is not sent with other calls", context do
      open_telemetry()
      assert sent(context, "sleep", []) == nil
    end

    test "is not sent outside of a trace or without OpenTelemetry", context do
      assert Trace.headers() == nil
      assert sent(context, "generate", ["prompt", [], "r"]) == nil
      open_telemetry()
      Process.put(:headers, [{"baggage", "user=secret"}])
      assert Trace.headers() == nil
    end
  end
end
