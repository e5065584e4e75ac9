defmodule Vllm.RealEngine.GenerateTest do
  use Vllm.VllmEngine, engine: :scripted

  setup_all %{engine: engine} do
    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    {:ok, eos} = Vllm.call(tokenizer, :eos_token_id)
    %{encode: &encode(tokenizer, &1), eos: eos}
  end

  describe "the greedy output of the scripted model" do
    test "is its script, to the end of the sequence", %{engine: engine, encode: encode, eos: eos} do
      output = complete(engine, "Hello", %SamplingParams{temperature: 0.0, max_tokens: 64})
      assert %RequestOutput{prompt: "Hello", finished: true, outputs: [completion]} = output
      assert output.prompt_token_ids == encode.("Hello")

      assert %CompletionOutput{index: 0, finish_reason: "stop", stop_reason: nil} = completion
      assert completion.text == hello()
      assert completion.token_ids == encode.(hello()) ++ [eos]
      assert completion.logprobs == nil
      assert completion.cumulative_logprob == nil
    end

    test "ends at max_tokens", %{engine: engine, encode: encode} do
      output = complete(engine, "count", temperature: 0.0, max_tokens: 100)
      assert text(output) == counting(100)
      assert ids(output) == encode.(counting(100))
      assert [%{finish_reason: "length", stop_reason: nil}] = output.outputs
    end

    test "ends where the script ends", %{engine: engine, eos: eos} do
      output = complete(engine, "nothing", temperature: 0.0)
      assert [%{text: "", token_ids: [^eos], finish_reason: "stop"}] = output.outputs
    end

    test "ends before a stop word, or after it", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 64, stop: [" STOP"]]
      assert [completion] = complete(engine, "list", params).outputs
      assert completion.text == " alpha beta"
      assert {completion.finish_reason, completion.stop_reason} == {"stop", " STOP"}

      params = params ++ [include_stop_str_in_output: true]
      assert text(complete(engine, "list", params)) == " alpha beta STOP"
    end

    test "ends at a stop token, whose id is the reason", %{engine: engine, encode: encode} do
      [beta] = encode.(" beta")
      params = [temperature: 0.0, max_tokens: 64, stop_token_ids: [beta]]
      assert [completion] = complete(engine, "list", params).outputs
      assert List.last(completion.token_ids) == beta
      assert {completion.finish_reason, completion.stop_reason} == {"stop", beta}
    end

    test "is whole characters, also where one takes several tokens", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 64, output_kind: :DELTA]
      items = engine |> generate("unicode", params) |> Enum.to_list()
      assert Enum.map_join(items, &text/1) == " café 日本 🙂🎉 end"
      assert Enum.all?(items, &String.valid?(text(&1)))
    end

    test "may be constrained to a structure", %{engine: engine} do
      for outputs <- [
            %Vllm.StructuredOutputsParams{choice: [" alpha", " gamma"]},
            [choice: [" alpha", " gamma"]],
            %{"choice" => [" alpha", " gamma"]}
          ] do
        params = [temperature: 0.0, max_tokens: 16, structured_outputs: outputs]
        assert text(complete(engine, "list", params)) in [" alpha", " gamma"]
      end

      outputs = [regex: ~S(city: [A-Z][a-z]{1,5})]
      params = [temperature: 0.0, max_tokens: 64, structured_outputs: outputs]
      assert text(complete(engine, "weather", params)) =~ ~r/\Acity: [A-Z][a-z]{1,5}\z/
    end
  end

  describe "a prompt" do
    test "may be a string, ids, a map or a struct", %{engine: engine, encode: encode} do
      ids = encode.("Hello")

      for prompt <- [
            "Hello",
            ids,
            %{prompt: "Hello"},
            %{"prompt" => "Hello"},
            [prompt: "Hello"],
            %Vllm.TextPrompt{prompt: "Hello"},
            %{prompt_token_ids: ids},
            [prompt_token_ids: ids],
            %{prompt_token_ids: ids, prompt: "Hello"},
            %Vllm.TokensPrompt{prompt_token_ids: ids},
            %Vllm.TokensPrompt{prompt_token_ids: ids, prompt: "Hello", cache_salt: "a"}
          ] do
        output = complete(engine, prompt, temperature: 0.0)
        assert {prompt, text(output)} == {prompt, hello()}
        assert output.prompt_token_ids == ids
      end
    end

    test "as ids has no text", %{engine: engine, encode: encode} do
      assert complete(engine, encode.("Hello"), temperature: 0.0).prompt == nil
    end

    test "of any language is returned unchanged", %{engine: engine} do
      prompt = "naïve – 日本語, 🏳️‍🌈 and a zero: \0. Hello"
      output = complete(engine, prompt, temperature: 0.0)
      assert output.prompt == prompt
      assert text(output) == hello()
    end
  end

  describe "parameters" do
    test "may be a struct, a keyword list or a map", %{engine: engine} do
      for params <- [
            %SamplingParams{temperature: 0.0, max_tokens: 3, output_kind: :FINAL_ONLY},
            [temperature: 0.0, max_tokens: 3, output_kind: :FINAL_ONLY],
            %{temperature: 0, max_tokens: 3, output_kind: :final_only},
            %{"temperature" => 0.0, "max_tokens" => 3, "output_kind" => "FINAL_ONLY"}
          ] do
        assert [output] = engine |> generate("count", params) |> Enum.to_list()
        assert text(output) == counting(3)
      end
    end

    test "of the call follow by name", %{engine: engine} do
      opts = [priority: 0, trace_headers: %{"traceparent" => "00-1-2-01"}, prompt_text: "shown"]
      assert text(complete(engine, "Hello", [temperature: 0.0], opts)) == hello()
    end
  end

  describe "an output" do
    test "has metrics", %{engine: engine} do
      output = complete(engine, "count", temperature: 0.0, max_tokens: 10)

      assert %Vllm.RequestStateStats{num_generation_tokens: 10, is_corrupted: false} =
               output.metrics

      assert output.metrics.arrival_time > 1_700_000_000
      assert output.metrics.first_token_latency > 0
      assert output.metrics.first_token_ts <= output.metrics.last_token_ts
    end

    test "has logprobs with rank and token", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 3, logprobs: 2, prompt_logprobs: 1]
      output = complete(engine, "please say Hello", params)
      [completion] = output.outputs

      for {token, position} <- Enum.zip(completion.token_ids, completion.logprobs) do
        assert %{^token => %Vllm.Logprob{rank: 1, logprob: logprob, decoded_token: text}} =
                 position

        assert logprob <= 0.0 and logprob > -0.01
        assert completion.text =~ text
        assert map_size(position) == 2
      end

      assert [nil | rest] = output.prompt_logprobs
      assert length(rest) + 1 == length(output.prompt_token_ids)
      assert completion.cumulative_logprob <= 0.0
    end

    test "has a logprob of minus infinity where a token is banned", context do
      [one] = context.encode.(" one")
      params = [temperature: 0.0, max_tokens: 1, logprobs: 5, allowed_token_ids: [one]]
      assert [%{logprobs: [position]}] = complete(context.engine, "count", params).outputs
      assert %{^one => %{rank: 1}} = position
    end

    test "without detokenization has ids only", %{engine: engine, encode: encode} do
      output = complete(engine, "count", temperature: 0.0, max_tokens: 4, detokenize: false)
      assert [%{text: "", token_ids: ids}] = output.outputs
      assert ids == encode.(counting(4))
    end
  end

  describe "every output kind" do
    test "has the same text", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 200, logprobs: 1]

      deltas = items(engine, "count", params, :DELTA)
      cumulative = items(engine, "count", params, :CUMULATIVE)
      assert [final] = items(engine, "count", params, :FINAL_ONLY)

      assert text(final) == counting(200)
      assert Enum.map_join(deltas, &text/1) == text(final)
      assert Enum.flat_map(deltas, &ids/1) == ids(final)
      assert Enum.flat_map(deltas, &hd(&1.outputs).logprobs) == hd(final.outputs).logprobs
      assert List.last(cumulative).outputs == final.outputs

      for items <- [deltas, cumulative] do
        assert Enum.map(items, & &1.finished) ==
                 List.duplicate(false, length(items) - 1) ++ [true]
      end
    end

    test "has the same text for four completions, by index", %{engine: engine} do
      params = [n: 4, temperature: 1.0, seed: 11, max_tokens: 40]
      deltas = items(engine, "count", params, :DELTA)
      cumulative = items(engine, "count", params, :CUMULATIVE)
      assert [%{finished: true} = final] = items(engine, "count", params, :FINAL_ONLY)
      assert final.outputs |> Enum.map(& &1.index) |> Enum.sort() == [0, 1, 2, 3]

      for completion <- final.outputs do
        parts = of_index(deltas, completion.index)
        assert Enum.map_join(parts, & &1.text) == completion.text
        assert Enum.flat_map(parts, & &1.token_ids) == completion.token_ids
        assert length(completion.token_ids) == 40
        assert List.last(of_index(cumulative, completion.index)) == completion
      end
    end
  end

  test "collect returns all completions, also those that ended before the last", context do
    params = [n: 4, seed: 3, max_tokens: 60, temperature: 2.0]
    {:ok, stream} = AsyncLLM.generate(context.engine, "Hello", params, request_id())
    assert {:ok, %RequestOutput{finished: true, outputs: outputs}} = Stream.collect(stream)
    assert Enum.map(outputs, & &1.index) == [0, 1, 2, 3]
    assert Enum.all?(outputs, &(&1.finish_reason in ["stop", "length"]))
  end

  test "100 streams of one engine all complete, each with its own text", %{engine: engine} do
    1..100
    |> Enum.map(fn n ->
      Task.async(fn ->
        kind = Enum.at([:DELTA, :CUMULATIVE, :FINAL_ONLY], rem(n, 3))
        params = [temperature: 0.0, max_tokens: n, output_kind: kind]
        items = engine |> generate("number #{n}: count", params) |> Enum.to_list()
        assert Enum.count(items, & &1.finished) == 1
        assert List.last(items).prompt == "number #{n}: count"
        said = if kind == :DELTA, do: Enum.map_join(items, &text/1), else: text(List.last(items))
        assert said == counting(n)
      end)
    end)
    |> Task.await_many(:infinity)

    assert unfinished(engine) == 0
  end

  defp items(engine, prompt, params, kind) do
    engine |> generate(prompt, params ++ [output_kind: kind]) |> Enum.to_list()
  end

  # An item need not hold all completions: vLLM sends those that have changed.
  defp of_index(items, index) do
    for item <- items, completion <- item.outputs, completion.index == index, do: completion
  end

  defp encode(tokenizer, text) do
    {:ok, ids} = Vllm.call(tokenizer, :encode, [text])
    ids
  end
end
