defmodule Vllm.Bridge.GenAITest do
  # What the events of real requests say in the names of OpenTelemetry's conventions.
  use Vllm.TestKitCase

  import Vllm.StandIns

  alias Vllm.Telemetry.GenAI
  alias Vllm.Test

  @first_chunk "gen_ai.response.time_to_first_chunk"

  setup %{worker: worker} do
    telemetry()
    %{engine: Test.engine!(worker, served_model_name: "smollm")}
  end

  # Of the last event, which has to be the end of what was asked for.
  defp ended(prefix) do
    {event, measurements, metadata, _emitter} = List.last(events(prefix))
    assert List.last(event) == :stop
    {first, attributes} = measurements |> GenAI.attributes(metadata) |> Map.pop(@first_chunk)
    recorded = for {name, _, _} <- GenAI.recordings(event, measurements, metadata), do: name
    {attributes, first, Enum.uniq(recorded)}
  end

  defp attributes(operation, more) do
    Map.merge(more, %{
      "gen_ai.operation.name" => operation,
      "gen_ai.provider.name" => "vllm",
      "gen_ai.request.model" => "smollm"
    })
  end

  test "a generation has its tokens, its reason and the engine's times", %{engine: engine} do
    for kind <- [:DELTA, :CUMULATIVE, :FINAL_ONLY] do
      assert {:ok, _output} = collect(engine, "Hello", max_tokens: 3, output_kind: kind)
      {attributes, first, metrics} = ended([:vllm, :stream])

      assert attributes ==
               attributes("text_completion", %{
                 "gen_ai.response.finish_reasons" => ["length"],
                 "gen_ai.usage.input_tokens" => 5,
                 "gen_ai.usage.output_tokens" => 3
               })

      assert first > 0.0

      assert metrics == [
               "gen_ai.client.operation.duration",
               "gen_ai.client.token.usage",
               "gen_ai.server.request.duration",
               "gen_ai.server.time_to_first_token",
               "gen_ai.server.time_per_output_token"
             ]
    end
  end

  test "several completions have all their reasons", %{engine: engine} do
    assert {:ok, _output} = collect(engine, "Hello", max_tokens: 3, n: 2, output_kind: :DELTA)
    {attributes, _first, _metrics} = ended([:vllm, :stream])
    assert attributes["gen_ai.response.finish_reasons"] == ["length", "length"]
    refute Map.has_key?(attributes, "gen_ai.usage.output_tokens")
  end

  test "a chat has what its answer or its last piece says", %{engine: engine} do
    {:ok, answer} = Vllm.chat(engine, "Hello", max_tokens: 2)
    {attributes, nil, metrics} = ended([:vllm, :call])

    expected =
      attributes("chat", %{
        "gen_ai.response.finish_reasons" => ["length"],
        "gen_ai.usage.input_tokens" => answer.usage.prompt_tokens,
        "gen_ai.usage.output_tokens" => 2
      })

    assert attributes == Map.put(expected, "gen_ai.response.model", "smollm")
    assert metrics == ["gen_ai.client.operation.duration", "gen_ai.client.token.usage"]

    {:ok, stream} = Vllm.stream_chat(engine, "Hello", max_tokens: 2)
    assert Enum.count(stream) > 0
    assert {^expected, first, ^metrics} = ended([:vllm, :stream])
    assert first > 0.0
  end

  test "a batch of embeddings has the tokens of its inputs", %{worker: worker} do
    embedder = Test.engine!(worker, served_model_name: "smollm", runner: "pooling")
    {:ok, _batch} = Vllm.embed(embedder, ["a", [5, 6]])
    {attributes, nil, _metrics} = ended([:vllm, :call])

    # The batches of a fake engine name no model.
    assert attributes == attributes("embeddings", %{"gen_ai.usage.input_tokens" => 3})
  end

  test "a request that is refused is an operation that failed", %{engine: engine} do
    assert {:error, %Error{kind: :invalid}} = generate(engine, "Hello", max_tokens: "many")
    assert {attributes, nil, ["gen_ai.client.operation.duration"]} = ended([:vllm, :call])
    assert attributes == attributes("text_completion", %{"error.type" => "invalid"})
  end
end
