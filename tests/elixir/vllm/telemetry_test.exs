defmodule Vllm.RealEngine.TelemetryTest do
  # What a real engine does with a trace, the events of its streams, and its log.
  use Vllm.VllmEngine, engine: :scripted

  import Vllm.Heard
  import Vllm.StandIns

  @greedy [temperature: 0.0, max_tokens: 64, output_kind: :DELTA]

  test "a request with a trace gives the same output", %{engine: engine} do
    open_telemetry()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    Process.put(:headers, [{"traceparent", trace}, {"tracestate", "a=b"}])
    assert text(complete(engine, "Hello", temperature: 0.0, max_tokens: 64)) == hello()
    assert {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "Hello", max_tokens: 1)
    assert %Ref{} = collector
    Vllm.release(collector)
    assert_well(engine)
  end

  test "a stream emits its items, its time and its end", %{engine: engine} do
    telemetry()
    items = engine |> generate("Hello", @greedy) |> Enum.count()

    assert [{[_, _, :start], _, %{request_id: "req-" <> _}, _}, first, last] =
             events([:vllm, :stream])

    assert {[_, _, :first_item], %{duration: waited}, _, _} = first
    assert {[_, _, :stop], %{items: ^items} = measured, %{result: :ok}, _} = last
    assert %{time_to_first_item: ^waited, duration: duration} = measured
    assert waited < duration

    generate(engine, "count", endless()) |> Enum.take(1)

    assert {[_, _, :stop], %{items: 1}, %{result: :halted}, _} =
             List.last(events([:vllm, :stream]))

    assert_well(engine)
  end

  test "no log holds a prompt", %{engine: engine} do
    secret = "a very secret prompt"
    hear()
    complete(engine, secret, max_tokens: 2)
    assert {:error, %Error{kind: :invalid}} = failing(engine, secret, max_tokens: "many")
    assert {:error, %Error{}} = failing(engine, String.duplicate(secret, 1000), max_tokens: 1)
    # On a busy machine the deadline may come before the stream does.
    params = [ignore_eos: true] ++ endless()
    accepted = failing(engine, secret, params, rpc: [timeout: 200])
    ended = with {:ok, stream} <- accepted, do: Stream.collect(stream)
    assert {:error, %Error{kind: :timeout}} = ended
    # What EngineCore logs by now is behind all that.
    {:ok, true} = AsyncLLM.reset_prefix_cache(engine)
    wait_until(fn -> heard() =~ "reset prefix cache" end)
    refute_heard(secret)
    assert_well(engine)
  end

  defp failing(engine, prompt, params, opts \\ []),
    do: AsyncLLM.generate(engine, prompt, params, request_id(), opts)
end
