defmodule Vllm.Core.Telemetry.UsageTest do
  use ExUnit.Case, async: true

  alias Vllm.{
    ChatChoice,
    ChatCompletion,
    ChatDelta,
    ChatUsage,
    CompletionOutput,
    EmbeddingBatch,
    LoRARequest,
    PoolingRequestOutput,
    PoolingUsage,
    RequestOutput,
    RequestStateStats
  }

  alias Vllm.Core.Telemetry.Usage

  @native System.convert_time_unit(1, :second, :native)

  @stats %RequestStateStats{
    num_generation_tokens: 5,
    first_token_latency: 0.5,
    first_token_ts: 10.0,
    last_token_ts: 12.0
  }

  defp completion(index, ids, reason \\ "stop"),
    do: %CompletionOutput{index: index, text: "secret", token_ids: ids, finish_reason: reason}

  defp output(completions, fields \\ []) do
    struct!(
      %RequestOutput{prompt: "secret", prompt_token_ids: [1, 2, 3], outputs: completions},
      fields
    )
  end

  test "of the last of several items the engine's statistics have the tokens and the times" do
    last = output([completion(0, [9])], metrics: @stats)

    assert Usage.of(last, false) ==
             {%{
                input_tokens: 3,
                output_tokens: 5,
                time_to_first_token: div(@native, 2),
                time_per_output_token: div(@native, 2),
                engine_duration: round(2.5 * @native)
              }, %{response_model: nil, finish_reasons: ["stop"]}}
  end

  test "without statistics tokens are known of a whole output only" do
    item = output([completion(0, [8, 9], nil)])
    assert {%{input_tokens: 3} = partial, %{finish_reasons: []}} = Usage.of(item, false)
    refute Map.has_key?(partial, :output_tokens)
    assert {%{output_tokens: 2}, _} = Usage.of(item, true)
  end

  test "of several completions the statistics, which are those of one, are not taken" do
    item = output([completion(0, [7]), completion(1, [8, 9], "length")], metrics: @stats)

    assert Usage.of(item, true) ==
             {%{input_tokens: 3, output_tokens: 3},
              %{response_model: nil, finish_reasons: ["stop", "length"]}}

    assert {%{input_tokens: 3} = partial, _} = Usage.of(item, false)
    assert map_size(partial) == 1
  end

  test "one token has no time between tokens, and an engine without a first token no times" do
    stats = %{@stats | num_generation_tokens: 1, last_token_ts: 10.0}
    {one, _} = Usage.of(output([completion(0, [1])], metrics: stats), false)
    refute Map.has_key?(one, :time_per_output_token)
    assert one.engine_duration == one.time_to_first_token

    none = output([completion(0, [])], metrics: %RequestStateStats{})
    assert Usage.of(none, false) |> elem(0) == %{input_tokens: 3}
  end

  test "an adapter is the model that answers" do
    lora = %LoRARequest{lora_name: "pirate", lora_int_id: 1, lora_path: "/x"}
    assert {_, %{response_model: "pirate"}} = Usage.of(output([], lora_request: lora))
  end

  test "a chat and its last delta have their usage, other deltas none" do
    usage = %ChatUsage{prompt_tokens: 4, completion_tokens: 6, total_tokens: 10}
    tokens = %{input_tokens: 4, output_tokens: 6}
    answer = %ChatCompletion{model: "m", usage: usage, choices: [%ChatChoice{finish_reason: "x"}]}
    assert Usage.of(answer) == {tokens, %{response_model: "m", finish_reasons: ["x"]}}
    last = %ChatDelta{usage: usage, finish_reason: "length"}
    assert Usage.of(last) == {tokens, %{response_model: nil, finish_reasons: ["length"]}}
    assert Usage.of(%ChatDelta{content: "secret"}) == Usage.none()
  end

  test "pooling has the tokens of its prompts" do
    usage = %PoolingUsage{prompt_tokens: 7, cached_tokens: 0}

    assert Usage.of(%EmbeddingBatch{model: "m", usage: usage}) ==
             {%{input_tokens: 7}, %{response_model: "m", finish_reasons: []}}

    assert {_, %{response_model: nil}} = Usage.of(%EmbeddingBatch{model: "", usage: usage})
    assert {%{input_tokens: 2}, _} = Usage.of(%PoolingRequestOutput{prompt_token_ids: [1, 2]})
  end

  test "a batch of an LLM has the tokens of all" do
    outputs = [output([completion(0, [1])]), output([completion(0, [2, 3])], metrics: @stats)]

    assert Usage.of(outputs) ==
             {%{input_tokens: 6, output_tokens: 6}, %{response_model: nil, finish_reasons: []}}
  end

  test "nothing is known of other results" do
    for other <- [nil, 1, "secret", [], [1], %{}, %{usage: nil}, %ChatCompletion{}],
        do: assert(Usage.of(other) == Usage.none())
  end
end
