defmodule Vllm.RealEngine.GateTest do
  # No input bricks an engine. Without the gate many of these end a thread in EngineCore, and from
  # then on every call hangs. So after each of them a good request must be answered, exactly.
  use Vllm.VllmEngine, engine: :scripted

  setup %{engine: engine} do
    on_exit(fn -> assert_well(engine) end)
  end

  @wrong_types [
    seed: 1.5,
    seed: "7",
    seed: true,
    max_tokens: 5.0,
    max_tokens: "5",
    max_tokens: :many,
    min_tokens: nil,
    n: true,
    n: 1.0,
    logit_bias: %{5 => "1.0"},
    logit_bias: %{"x" => 1.0},
    logit_bias: %{5.0 => 1.0},
    logit_bias: [5],
    ignore_eos: "yes",
    ignore_eos: 1,
    detokenize: nil,
    skip_special_tokens: 0,
    include_stop_str_in_output: :infinity,
    output_kind: :SOMETIMES,
    output_kind: 1,
    stop: 7,
    stop: [7],
    stop_token_ids: ["a"],
    stop_token_ids: [1.0],
    allowed_token_ids: [1.5],
    allowed_token_ids: {1, nil},
    bad_words: "word",
    temperature: "0",
    temperature: nil,
    temperature: :nan,
    top_p: :nan,
    top_k: 1.0,
    presence_penalty: "0",
    logprobs: "2",
    logprobs: 1.0,
    prompt_logprobs: "all",
    flat_logprobs: 1,
    structured_outputs: "json",
    structured_outputs: [regex: 5],
    structured_outputs: [regexp: "a"],
    structured_outputs: %SamplingParams{},
    extra_args: [1],
    repetition_detection: 3,
    stream_interval: "1"
  ]

  @out_of_range [
    n: 0,
    n: -1,
    temperature: -1.0,
    top_p: 2.0,
    top_p: 0.0,
    top_k: -7,
    min_p: 1.5,
    max_tokens: 0,
    max_tokens: -1,
    min_tokens: -1,
    logprobs: -2,
    logprobs: 10_000,
    prompt_logprobs: 10_000,
    presence_penalty: 99.0,
    repetition_penalty: 0.0,
    stop: [""],
    allowed_token_ids: [],
    allowed_token_ids: [1_000_000],
    allowed_token_ids: [-1],
    logit_bias: %{1_000_000 => 1.0},
    stop_token_ids: [-(2 ** 70)],
    temperature: 2 ** 2000
  ]

  for {{field, value}, n} <- Enum.with_index(@wrong_types ++ @out_of_range) do
    @field field
    @value value

    test "#{n}: #{field}: #{String.slice(inspect(value), 0, 60)} is refused", %{engine: engine} do
      for params <- [
            [{@field, @value}],
            %{to_string(@field) => @value},
            struct!(SamplingParams, [{@field, @value}])
          ],
          # A field that equals the struct's default is not sent.
          Map.get(%SamplingParams{}, @field) != @value or not is_struct(params) do
        error = refused(engine, "Hello", params)
        assert error.message =~ to_string(@field)
        assert error.details["parameter"] =~ to_string(@field)
        # A field that does not exist has no value.
        assert Map.has_key?(error.details, "value") or error.message =~ "has no field"
      end
    end
  end

  test "an unknown field is refused by its name", %{engine: engine} do
    assert refused(engine, "Hello", max_tokesn: 1).message =~ "max_tokesn"
    assert refused(engine, "Hello", %{"max_tokesn" => 1}).message =~ "max_tokesn"
  end

  test "fields that contradict each other are refused", %{engine: engine} do
    assert refused(engine, "Hello", min_tokens: 64, max_tokens: 8).message =~ "min_tokens"
    assert refused(engine, "Hello", n: 2, temperature: 0.0).message =~ "n must be 1"
  end

  # vLLM's messages name the field, its errors do not.
  test "what an engine refuses of parameters that contradict each other is named", context do
    for {more, value} <- [
          {[n: 2], 2},
          {[prompt_logprobs: 1], 1},
          {[bad_words: ["x"]], ["x"]},
          {[repetition_detection: [max_pattern_size: 4, min_count: 2]], nil},
          {[thinking_token_budget: 4], 4}
        ] do
      params = [trace_decode_token_ids: [5]] ++ more
      %{details: details} = refused(context.engine, "Hello", params)
      [{name, _value}] = more
      assert %{"parameter" => "trace_decode_token_ids", "value" => [5]} = details
      assert Map.keys(details["values"]) == Enum.sort(["trace_decode_token_ids", to_string(name)])
      if value, do: assert(details["values"][to_string(name)] == value)
    end

    assert %{"parameter" => "trace_decode_token_ids", "value" => []} =
             refused(context.engine, "Hello", trace_decode_token_ids: []).details
  end

  test "values other than SamplingParams are refused", %{engine: engine} do
    for params <- [nil, 7, "greedy", [1], {:max_tokens, 1}, %Vllm.PoolingParams{}, true] do
      assert refused(engine, "Hello", params).message =~ "sampling_params"
    end
  end

  test "broken grammars are refused", %{engine: engine} do
    for grammar <- [
          [regex: "("],
          [json: "{"],
          [json: %{type: "nonsense"}],
          [choice: []],
          [regex: "a", choice: ["b"]],
          [structural_tag: "{"]
        ] do
      assert %Error{} = refused(engine, "Hello", structured_outputs: grammar)
    end
  end

  test "a broken EBNF ends the request alone", %{engine: engine} do
    params = [temperature: 0.0, structured_outputs: [grammar: "root ::= ("]]

    case AsyncLLM.generate(engine, "Hello", params, request_id()) do
      {:ok, stream} ->
        assert {:ok, %{outputs: [%{finish_reason: "error"}]}} = Stream.collect(stream)

      {:error, error} ->
        assert error.kind == :invalid
    end
  end

  # tests/entrypoints/llm/test_prompt_validation.py::test_out_of_vocab_token
  test "a token that is not in the vocabulary is refused", %{engine: engine} do
    for prompt <- [[999_999], %Vllm.TokensPrompt{prompt_token_ids: [999_999]}] do
      assert refused(engine, prompt, temperature: 0.0).message =~ "out of vocabulary"
    end
  end

  test "invalid prompts are refused", %{engine: engine} do
    for prompt <- [
          nil,
          7,
          1.5,
          true,
          :nan,
          {1, "2"},
          %Vllm.Bytes{data: "bytes"},
          %{},
          %{promt: "Hello"},
          %{prompt: 7},
          %{prompt_token_ids: "Hello"},
          %{prompt_token_ids: [1, "2"]},
          %{prompt_token_ids: [1.0]},
          %{prompt_token_ids: [true]},
          %{prompt_token_ids: [-1]},
          %{prompt_token_ids: [1_000_000]},
          %{prompt_token_ids: [2 ** 40]},
          # tests/v1/shutdown/test_processor_error.py::test_async_llm_processor_error
          %{prompt_token_ids: []},
          %{prompt_embeds: [[1.0]]},
          %{prompt_embeds: Vllm.Tensor.from_list([[1.0]], "float32")},
          %Vllm.TextPrompt{prompt: nil},
          %Vllm.TokensPrompt{prompt_token_ids: ["1"]},
          %SamplingParams{},
          ["Hello"],
          [-1],
          [1_000_000],
          [],
          "",
          String.duplicate("x", 5000)
        ] do
      error = refused(engine, prompt, temperature: 0.0)
      assert error.message =~ ~r/prompt|token id|multi_modal|embeds|maximum/i, error.message
    end
  end

  test "request ids that are not strings are refused", %{engine: engine} do
    for id <- [7, 1.5, nil, true, %Vllm.Bytes{data: "r"}, ["r"], %{}] do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.generate(engine, "Hello", [temperature: 0.0], id)

      assert error.message =~ "request_id"
      assert error.details["parameter"] == "request_id"
    end
  end

  test "keywords of the wrong type are refused by their names", %{engine: engine} do
    for {name, value} <- [
          priority: "1",
          priority: 1.0,
          priority: nil,
          priority: true,
          lora_request: "adapter",
          lora_request: [lora_name: "a", lora_int_id: "1", lora_path: "/a"],
          lora_request: [lora_name: "a", lora_int_id: 1, lora_paht: "/a"],
          lora_request: [lora_name: "a"],
          trace_headers: %{"a" => 1},
          trace_headers: "a",
          tokenization_kwargs: [1],
          data_parallel_rank: "0",
          data_parallel_rank: 1,
          session_id: 7,
          prompt_text: 7,
          reasoning_ended: "no",
          no_such_keyword: 1
        ] do
      error = refused(engine, "Hello", [temperature: 0.0], [{name, value}])
      assert error.message =~ to_string(name)
    end
  end

  test "an adapter that cannot be loaded is an error of its request alone", %{engine: engine} do
    for lora <- [
          %Vllm.LoRARequest{lora_name: "a", lora_int_id: 1, lora_path: "/no/such/adapter"},
          [lora_name: "a", lora_int_id: 1, lora_path: "/no/such/adapter"],
          [lora_name: "a", lora_int_id: 0, lora_path: "/a"],
          [lora_name: "a", lora_int_id: 1, lora_path: ""]
        ] do
      assert {:error, %Error{} = error} =
               AsyncLLM.generate(engine, "Hello", [n: 1], request_id(), lora_request: lora)

      assert error.kind in [:invalid, :not_found, :engine_error]
      assert error.message =~ ~r/lora/i
    end
  end

  test "values that cannot be sent are refused by the client", %{engine: engine} do
    for value <- [self(), make_ref(), fn -> :ok end, <<255>>, <<1::3>>, [1 | 2]] do
      error = refused(engine, value, temperature: 0.0)
      assert error.message =~ "arguments"

      error = refused(engine, "Hello", extra_args: %{deep: [%{down: value}]})
      assert error.message =~ "down"
    end
  end

  test "other methods name the refused parameter as well", %{engine: engine} do
    for {method, args, word} <- [
          {:abort, [7], "request_id"},
          {:abort, [%{r: 1}], "request_id"},
          {:sleep, ["1"], "level"},
          {:sleep, [1, "sideways"], "mode"},
          {:wake_up, ["weights"], "tags"},
          {:add_lora, [%{lora_name: "a"}], "lora"},
          {:collective_rpc, ["get_kv_cache_spec"], "get_kv_cache_spec"},
          {:collective_rpc, ["shutdown"], "shutdown"},
          {:collective_rpc, [7], "method"},
          {:update_weight_version, [5], "new_version"},
          {:reset_prefix_cache, ["yes"], "reset_running_requests"},
          {:is_running, [1], "is_running"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} = Vllm.call(engine, method, args)
      assert {method, error.message =~ word} == {method, true}
    end
  end

  test "refused calls do not affect a long generation", %{engine: engine} do
    params = [temperature: 0.0, max_tokens: 500, output_kind: :FINAL_ONLY]
    stream = generate(engine, "count", params)
    for wrong <- @wrong_types, do: assert(%Error{} = refused(engine, "Hello", [wrong]))
    assert {:ok, output} = Stream.collect(stream)
    assert text(output) == counting(500)
  end

  defp refused(engine, prompt, params, opts \\ []) do
    assert {:error, %Error{kind: :invalid} = error} =
             AsyncLLM.generate(engine, prompt, params, request_id(), opts)

    assert String.length(error.message) > 10
    assert Exception.message(error) =~ "The same call fails again"
    refute error.retryable
    error
  end
end
