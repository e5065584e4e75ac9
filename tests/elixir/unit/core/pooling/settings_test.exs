defmodule Vllm.Core.Pooling.SettingsTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Pooling.Settings
  alias Vllm.{Error, LoRARequest, PoolingParams, SamplingParams}

  test "without options nothing is sent, and there is no limit of time" do
    for method <- [:embed, :classify, :score] do
      assert Settings.arguments(method, []) == {:ok, [priority: 0, rpc: [timeout: :infinity]]}
    end

    assert {:ok, named} = Settings.arguments(:embed, rpc: [timeout: 5, window: 3])
    assert Enum.sort(named[:rpc]) == [timeout: 5, window: 3]
  end

  test "the parameters of all inputs are one map" do
    for {opts, params} <- [
          {[use_activation: false], %{use_activation: false}},
          {[dimensions: 32], %{dimensions: 32}},
          {[dimensions: 32, use_activation: true], %{dimensions: 32, use_activation: true}},
          {[pooling_params: [dimensions: 32]], %{dimensions: 32}},
          {[pooling_params: %{dimensions: 32}], %{dimensions: 32}},
          {[pooling_params: %PoolingParams{dimensions: 32}], %PoolingParams{dimensions: 32}},
          {[pooling_params: [[dimensions: 1], nil, %{}]], [%{dimensions: 1}, nil, %{}]},
          {[pooling_params: []], []}
        ] do
      assert {:ok, named} = Settings.arguments(:embed, opts)
      assert {opts, named[:pooling_params]} == {opts, params}
    end
  end

  test "a limit of tokens is one of the arguments of the tokenizer" do
    assert {:ok, named} = Settings.arguments(:embed, truncate_prompt_tokens: 3)
    assert named[:tokenization_kwargs] == %{truncate_prompt_tokens: 3}

    assert {:ok, named} =
             Settings.arguments(:embed,
               truncate_prompt_tokens: 3,
               tokenization_kwargs: [truncation_side: "left"]
             )

    assert named[:tokenization_kwargs] == %{truncate_prompt_tokens: 3, truncation_side: "left"}
  end

  test "an instruction is given to the template" do
    assert {:ok, named} = Settings.arguments(:score, instruction: "Find it")
    assert named[:chat_template_kwargs] == %{instruction: "Find it"}
    opts = [chat_template_kwargs: %{a: 1}, instruction: "x", max_tokens_per_doc: 7]
    assert {:ok, named} = Settings.arguments(:score, opts)
    assert named[:chat_template_kwargs] == %{a: 1, instruction: "x"}
    assert named[:max_tokens_per_doc] == 7
    refute Keyword.has_key?(named, :max_tokens_per_query)
  end

  test "wrong options are refused by name" do
    for {method, opts, name} <- [
          {:embed, [nonsense: 1], "nonsense"},
          {:embed, [task: "embed"], "task"},
          {:embed, [chat_template: "x"], "chat_template"},
          {:embed, [dimensions: 0], "dimensions"},
          {:embed, [dimensions: "3"], "dimensions"},
          {:embed, [use_activation: 1], "use_activation"},
          {:embed, [pooling_params: 7], "pooling_params"},
          {:embed, [pooling_params: [%{}, 7]], "pooling_params"},
          {:embed, [pooling_params: %SamplingParams{}], "pooling_params"},
          {:embed, [pooling_params: [1 | 2]], "pooling_params"},
          {:embed, [pooling_params: %{}, dimensions: 3], "dimensions"},
          {:embed, [truncate_prompt_tokens: -2], "truncate_prompt_tokens"},
          {:embed, [tokenization_kwargs: 7], "tokenization_kwargs"},
          {:embed, [model: :x], "model"},
          {:classify, [dimensions: 3], "dimensions"},
          {:encode_batch, [], "task"},
          {:encode_batch, [task: "score"], "task"},
          {:score, [max_tokens_per_doc: -1], "max_tokens_per_doc"},
          {:score, [instruction: "x", chat_template_kwargs: %{instruction: "y"}], "instruction"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} = Settings.arguments(method, opts)
      assert {opts, error.message =~ name} == {opts, true}
    end
  end

  test "options that are no keyword list are refused" do
    for opts <- [7, nil, %{}, [1], [{"model", 1}]],
        do: assert({:error, %Error{kind: :invalid}} = Settings.arguments(:embed, opts))
  end

  test "adapters and priorities are the worker's to check" do
    lora = %LoRARequest{lora_name: "a", lora_int_id: 1, lora_path: "/a"}
    assert {:ok, named} = Settings.arguments(:embed, lora_request: [lora, nil], priority: [1, 2])
    assert {named[:lora_request], named[:priority]} == {[lora, nil], [1, 2]}
  end
end
