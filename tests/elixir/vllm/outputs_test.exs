defmodule Vllm.RealEngine.OutputsTest do
  # The outputs of requests: every field, how items are merged, and every reason why one ends.
  use Vllm.VllmEngine, engine: :scripted, also: [faulty: :faulty]

  defp items(engine, params), do: engine |> generate("Hello", params) |> Enum.to_list()

  test "the items of a DELTA stream become the output of a CUMULATIVE one", %{engine: engine} do
    for more <- [[], [logprobs: 2], [logprobs: 2, flat_logprobs: true], [n: 2, temperature: 0.8]] do
      params = Keyword.merge([temperature: 0.0, max_tokens: 6, seed: 3], more)
      deltas = items(engine, params ++ [output_kind: :DELTA])
      whole = Enum.reduce(deltas, &RequestOutput.add(&2, &1, true))
      [final] = items(engine, params ++ [output_kind: :FINAL_ONLY])

      assert whole.finished
      assert Enum.all?(whole.outputs, &CompletionOutput.finished/1)
      sort = fn output -> Enum.sort_by(output.outputs, & &1.index) end
      assert sort.(whole) == sort.(final)
    end
  end

  test "an output with logprobs has all of its fields", %{engine: engine} do
    params = [temperature: 0.0, max_tokens: 4, logprobs: 2, prompt_logprobs: 1]
    %RequestOutput{outputs: [completion]} = output = complete(engine, "Hello", params)

    assert %{prompt: "Hello", finished: true, extra: extra} = output
    assert extra == %{} and completion.extra == %{}
    assert is_binary(output.request_id) and is_integer(output.num_cached_tokens)
    assert length(output.prompt_logprobs) == length(output.prompt_token_ids)
    assert output.metrics.num_generation_tokens == 4
    assert %{index: 0, finish_reason: "length", stop_reason: nil} = completion
    assert length(completion.token_ids) == 4 and length(completion.logprobs) == 4

    for {id, logprobs} <- Enum.zip(completion.token_ids, completion.logprobs) do
      assert %Vllm.Logprob{rank: 1, decoded_token: token} = logprobs[id]
      assert is_binary(token)
    end

    sum =
      Enum.sum(
        for {id, it} <- Enum.zip(completion.token_ids, completion.logprobs), do: it[id].logprob
      )

    assert_in_delta completion.cumulative_logprob, sum, 1.0e-4

    assert [%Vllm.WeightVersionSpan{version: "default", start: 0, end: 4}] =
             completion.weight_versions
  end

  test "a salt separates the hits of the prefix cache", %{engine: engine} do
    text = String.duplicate("Hello ", 100)
    salt = request_id()
    cached = fn prompt -> complete(engine, prompt, max_tokens: 1).num_cached_tokens end

    prompt = %Vllm.TextPrompt{prompt: text, cache_salt: salt}
    assert cached.(prompt) == 0
    hits = cached.(prompt)
    assert hits > 0
    assert cached.(%{prompt | cache_salt: salt <> "x"}) == 0

    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    {:ok, ids} = Vllm.call(tokenizer, :encode, [text])
    assert cached.(%Vllm.TokensPrompt{prompt_token_ids: ids, cache_salt: salt}) == hits
  end

  describe "a request ends with the reason" do
    for {reason, params} <- [
          stop: [],
          length: [max_tokens: 3],
          repetition: [
            ignore_eos: true,
            stop_token_ids: [],
            logit_bias: {:only, " alpha"},
            repetition_detection: [max_pattern_size: 2, min_count: 3]
          ]
        ] do
      test "#{reason}", %{engine: engine} do
        params = Keyword.merge([temperature: 0.0, max_tokens: 40], unquote(Macro.escape(params)))
        assert ended(engine, "Hello", only(engine, params)) == unquote(to_string(reason))
      end
    end

    test "abort", %{engine: engine} do
      # It waits until it is aborted, however fast the engine is.
      assert AsyncLLM.pause_generation(engine, mode: "keep") == {:ok, nil}
      id = request_id()
      {:ok, stream} = AsyncLLM.generate(engine, "count", endless(), id)
      assert AsyncLLM.abort(engine, id) == {:ok, nil}
      assert {:ok, %{outputs: [%{finish_reason: "abort"}]}} = Stream.collect(stream)
      assert AsyncLLM.resume_generation(engine) == {:ok, nil}
    end

    test "error", %{faulty: engine} do
      prompt = %{prompt: "Hello", cache_salt: "unlucky"}
      assert ended(engine, prompt, temperature: 0.0, max_tokens: 4) == "error"
    end
  end

  defp ended(engine, prompt, params) do
    [completion] = complete(engine, prompt, params).outputs
    completion.finish_reason
  end

  defp only(engine, params) do
    with {:only, word} <- params[:logit_bias] do
      {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
      {:ok, [id]} = Vllm.call(tokenizer, :encode, [word])
      Keyword.put(params, :logit_bias, %{id => 100.0})
    else
      nil -> params
    end
  end
end
