defmodule Vllm.RealEngine.LogprobsTest do
  # Logprobs of prompt and output: the cases of vLLM's tests/samplers/test_logprobs.py and
  # tests/v1/sample/test_logprobs.py, named at each test. The model has random weights, so that no
  # token is certain.
  use Vllm.VllmEngine, engine: :random, also: [limited: :limited, scripted: :scripted]

  alias Vllm.Logprob

  # Seven tokens, since each of its characters is one.
  @prompt "A story"

  describe "ranks are complete" do
    # test_logprobs.py::test_ranks
    for {how, params} <- [greedy: [temperature: 0.0], sampled: [temperature: 1.0, seed: 17]],
        flat <- [false, true],
        kind <- [:CUMULATIVE, :DELTA, :FINAL_ONLY] do
      @how how
      @params params ++ [flat_logprobs: flat, output_kind: kind]

      test "#{how}, #{if flat, do: "flat, "}#{kind}", %{engine: engine} do
        params = @params ++ [max_tokens: 20, ignore_eos: true, logprobs: 4, prompt_logprobs: 3]
        {prompt_ids, prompt_positions, ids, positions} = told(engine, params)

        # Nothing comes before the first token. The flat form has no None.
        assert hd(prompt_positions) == if(params[:flat_logprobs], do: %{}, else: nil)
        assert length(ids) == 20
        assert_ranks(tl(prompt_ids), tl(prompt_positions), 3)
        assert_ranks(ids, positions, 4)

        if @how == :greedy do
          for {id, position} <- Enum.zip(ids, positions), do: assert(position[id].rank == 1)
        end
      end
    end

    test "and flat or not they are the same", %{engine: engine} do
      params = [seed: 3, max_tokens: 20, logprobs: 4, prompt_logprobs: 3]

      {ids, [%{} | prompt], tokens, positions} = told(engine, params ++ [flat_logprobs: true])
      assert {ids, [nil | prompt], tokens, positions} == told(engine, params)
    end

    test "for each of several completions", %{engine: engine} do
      params = [n: 3, seed: 4, max_tokens: 15, ignore_eos: true, logprobs: 2]
      output = complete(engine, @prompt, params)
      assert Enum.map(output.outputs, & &1.index) == [0, 1, 2]

      for completion <- output.outputs do
        assert_ranks(completion.token_ids, completion.logprobs, 2)
        assert completion.cumulative_logprob == cumulative(completion)
      end
    end
  end

  test "without alternatives there is the sampled token alone", %{engine: engine} do
    params = [seed: 5, max_tokens: 10, ignore_eos: true, logprobs: 0, prompt_logprobs: 0]
    {[_ | prompt_ids], [nil | prompt_positions], ids, positions} = told(engine, params)
    assert Enum.map(positions, &Map.keys/1) == Enum.map(ids, &[&1])
    assert Enum.map(prompt_positions, &Map.keys/1) == Enum.map(prompt_ids, &[&1])
  end

  test "of tokens requested by id are those", %{engine: engine} do
    params = [
      seed: 5,
      max_tokens: 10,
      ignore_eos: true,
      logprobs: 2,
      logprob_token_ids: [100, 101]
    ]

    {_prompt, nil, ids, positions} = told(engine, params)

    for {id, position} <- Enum.zip(ids, positions) do
      assert Enum.sort(Map.keys(position)) == Enum.uniq(Enum.sort([100, 101, id]))
    end
  end

  # tests/v1/engine/test_async_llm.py and its neighbours check this of every text.
  test "their tokens make the text, and their sum is the completion's", %{engine: engine} do
    # The letters of ASCII, so that no character has several tokens.
    params = [seed: 6, max_tokens: 30, logprobs: 1, allowed_token_ids: Enum.to_list(72..97)]
    [completion] = complete(engine, @prompt, params).outputs

    said =
      for {id, position} <- Enum.zip(completion.token_ids, completion.logprobs),
          do: position[id].decoded_token

    assert Enum.join(said) == completion.text
    assert String.length(completion.text) == 30
    assert completion.cumulative_logprob == cumulative(completion)
  end

  # test_generate.py::test_detokenize_false (tests/v1/engine)
  test "without detokenization their tokens have ids only", %{engine: engine} do
    params = [seed: 7, max_tokens: 10, logprobs: 3, prompt_logprobs: 3, detokenize: false]
    output = complete(engine, @prompt, params)
    assert [%CompletionOutput{text: "", token_ids: [_ | _], logprobs: positions}] = output.outputs

    for position <- positions ++ tl(output.prompt_logprobs) do
      assert map_size(position) in [3, 4]
      for {_id, logprob} <- position, do: assert(%Logprob{decoded_token: nil} = logprob)
    end
  end

  test "more than the engine's 20 are refused", %{engine: engine} do
    for params <- [[logprobs: 21], [prompt_logprobs: 21], [logprobs: -1], [prompt_logprobs: -1]] do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.generate(engine, @prompt, params, request_id())

      assert error.message =~ "greater than max allowed: 20"
    end
  end

  describe "an engine with arguments about logprobs" do
    setup %{limited: engine} do
      on_exit(fn -> assert_well(engine) end)
    end

    # tests/v1/sample/test_logprobs.py::test_max_logprobs
    test "has a limit of its own", %{limited: engine} do
      for name <- [:logprobs, :prompt_logprobs] do
        params = [temperature: 0.0, max_tokens: 3]
        output = complete(engine, "count", params ++ [{name, 1}])
        assert text(output) == counting(3)

        assert {:error, %Error{kind: :invalid} = error} =
                 AsyncLLM.generate(engine, "count", params ++ [{name, 2}], request_id())

        assert error.message =~ "greater than max allowed: 1"
        assert error.details["parameter"] == to_string(name)
      end
    end

    # tests/v1/sample/test_logprobs.py::test_logprobs_mode
    test "returns logits instead, which may be positive", context do
      %{limited: engine, scripted: scripted} = context
      params = [temperature: 0.0, max_tokens: 8, logprobs: 1]

      assert [%{logprobs: [_ | _] = positions} = logits] =
               complete(engine, "count", params).outputs

      # The scripted model's only large logit: see python_worker/testing/scripted_model.py.
      for position <- positions, {_, entry} <- position, do: assert(entry.logprob > 10.0)
      assert logits.cumulative_logprob > 80.0

      [logprobs] = complete(scripted, "count", params).outputs
      assert logprobs.token_ids == logits.token_ids
      for position <- logprobs.logprobs, {_, entry} <- position, do: assert(entry.logprob <= 0.0)
      assert logprobs.cumulative_logprob <= 0.0
    end

    test "returns minus infinity for a banned token", %{limited: engine} do
      {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
      {:ok, [one, two]} = Vllm.call(tokenizer, :encode, [" one two"])

      params = [
        temperature: 0.0,
        max_tokens: 1,
        logprobs: 1,
        logprob_token_ids: [one],
        allowed_token_ids: [two]
      ]

      assert [%{token_ids: [^two], logprobs: [position]}] =
               complete(engine, "count", params).outputs

      assert position[one].logprob == :neg_infinity
      assert is_float(position[two].logprob)
    end
  end

  # The prompt's ids and positions, and the completion's, of every output kind.
  defp told(engine, params) do
    items = engine |> generate(@prompt, params) |> Enum.to_list()
    last = List.last(items)

    if params[:output_kind] == :DELTA do
      completions = for %{outputs: [completion]} <- items, do: completion
      ids = Enum.flat_map(completions, & &1.token_ids)

      {last.prompt_token_ids, hd(items).prompt_logprobs, ids,
       Enum.flat_map(completions, & &1.logprobs)}
    else
      [completion] = last.outputs
      assert completion.cumulative_logprob == cumulative(completion)
      {last.prompt_token_ids, last.prompt_logprobs, completion.token_ids, completion.logprobs}
    end
  end

  # At each position: the token itself, and the `count` best in their order.
  defp assert_ranks(ids, positions, count) do
    assert length(ids) == length(positions)

    for {id, position} <- Enum.zip(ids, positions) do
      assert %{^id => %Logprob{decoded_token: token}} = position
      assert is_binary(token)
      by_rank = position |> Map.values() |> Enum.sort_by(& &1.rank)
      ranks = Enum.map(by_rank, & &1.rank)
      assert Enum.take(ranks, count) == Enum.to_list(1..count)
      assert length(ranks) == if(position[id].rank <= count, do: count, else: count + 1)

      values = Enum.map(by_rank, & &1.logprob)
      assert values == Enum.sort(values, :desc)
      assert Enum.all?(values, &(&1 <= 0.0))
      assert values |> Enum.map(&:math.exp/1) |> Enum.sum() < 1.0001
    end
  end

  # Added in the order of the tokens, as vLLM does, it is the same to the last bit.
  defp cumulative(%CompletionOutput{token_ids: ids, logprobs: positions}) do
    ids |> Enum.zip(positions) |> Enum.reduce(0.0, fn {id, at}, sum -> sum + at[id].logprob end)
  end
end
