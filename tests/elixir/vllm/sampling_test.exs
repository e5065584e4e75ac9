defmodule Vllm.RealEngine.SamplingTest do
  # What each sampling parameter does, through Elixir on the real engine: the cases of vLLM's
  # tests/v1/engine/test_llm_engine.py, tests/v1/sample and tests/samplers, named at each test. How
  # a request ends is in stopping_test.exs. The scripted model's greedy output is known, so most of
  # it is exact.
  use Vllm.VllmEngine, engine: :scripted, also: [random: :random, limited: :limited]

  @lines " I only know my lines."

  setup_all %{engine: engine} do
    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    {:ok, eos} = Vllm.call(tokenizer, :eos_token_id)
    %{encode: fn text -> tokenizer |> Vllm.call(:encode, [text]) |> elem(1) end, eos: eos}
  end

  # Here, because building an engine may take as long as a test may.
  describe "penalties" do
    # tests/v1/sample/test_sampling_params_e2e.py::test_penalties
    test "may all be given at once", %{engine: engine} do
      params = [
        temperature: 0.0,
        max_tokens: 64,
        presence_penalty: 2.0,
        frequency_penalty: 2.0,
        repetition_penalty: 2.0
      ]

      # Each time round costs a token 2 of its 18, halved. After four rounds others are better.
      assert text(complete(engine, "count", params)) == counting(32) <> @lines
    end
  end

  describe "bad_words" do
    # tests/v1/sample/test_sampling_params_e2e.py::test_bad_words
    test "of one token never appear", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 32]
      assert text(complete(engine, "think", params)) =~ "<think>"
      assert text(complete(engine, "think", params ++ [bad_words: ["<think>"]])) == @lines

      # No more does it at another temperature.
      params = [n: 4, seed: 2, max_tokens: 32, bad_words: ["<think>"]]

      for %{text: text} <- complete(engine, "think", params).outputs,
          do: refute(text =~ "<think>")
    end

    # tests/samplers/test_no_bad_words.py::TestTwoTokenBadWord
    test "of two tokens never follow each other, though each may appear", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 32]
      banned = "<think> let me"
      assert text(complete(engine, "think", params)) =~ banned

      said = text(complete(engine, "think", params ++ [bad_words: [banned]]))
      assert said == "<think>" <> @lines
      # The second without the first is as good as ever.
      said = text(complete(engine, "think<think> let me", params ++ [bad_words: [banned]]))
      assert said == " see</think> forty-two"
    end

    test "may be a long list", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 32, bad_words: ["<think>", " I only", "</think>"]]
      said = text(complete(engine, "think", params))
      refute said =~ "<think>" or said =~ " I only"
    end
  end

  describe "a seed" do
    # tests/v1/sample/test_sampling_params_e2e.py::test_seed
    test "determines what is sampled, alone and among others", %{random: engine} do
      say = fn seed -> ids(complete(engine, "Hello", seed: seed, max_tokens: 40)) end
      first = say.(42)
      assert say.(42) == first
      assert say.(43) != first

      at_once = [42, 43, 42, 44, 42] |> Enum.map(&Task.async(fn -> say.(&1) end))
      [a, b, c, d, e] = Task.await_many(at_once, :infinity)
      assert [a, c, e] == [first, first, first]
      assert Enum.uniq([a, b, d]) == [a, b, d]
    end

    # tests/v1/engine/test_llm_engine.py::test_parallel_sampling
    test "gives each completion a sequence of its own", %{random: engine} do
      params = [n: 4, seed: 42, max_tokens: 30, output_kind: :FINAL_ONLY]
      output = complete(engine, "Hello", params)
      assert Enum.map(output.outputs, & &1.index) == [0, 1, 2, 3]
      texts = Enum.map(output.outputs, & &1.text)
      assert Enum.uniq(texts) == texts
      assert complete(engine, "Hello", params).outputs == output.outputs
    end

    test "is not needed for several completions", %{random: engine} do
      output = complete(engine, "Hello", n: 5, max_tokens: 30)
      assert Enum.map(output.outputs, & &1.index) == [0, 1, 2, 3, 4]
      assert output.outputs |> Enum.map(& &1.token_ids) |> Enum.uniq() |> length() == 5
    end
  end

  test "top_k, top_p and min_p may leave the best token alone", %{random: engine} do
    greedy = ids(complete(engine, "Hello", temperature: 0.0, max_tokens: 30))
    sampled = [temperature: 1.0, seed: 1, max_tokens: 30]
    assert ids(complete(engine, "Hello", sampled)) != greedy

    for best <- [[top_k: 1], [top_p: 1.0e-6], [min_p: 1.0]] do
      assert {best, ids(complete(engine, "Hello", sampled ++ best))} == {best, greedy}
    end
  end

  describe "tokens" do
    test "may be forced by a bias", %{engine: engine, encode: encode} do
      [alpha] = encode.(" alpha")
      params = [temperature: 0.0, max_tokens: 5, logit_bias: %{alpha => 100.0}]
      assert text(complete(engine, "count", params)) == String.duplicate(" alpha", 5)
    end

    test "may be forbidden by a bias", %{engine: engine, eos: eos} do
      params = [temperature: 0.0, max_tokens: 64, logit_bias: %{eos => -100.0}]
      output = complete(engine, "nothing", params)
      assert length(ids(output)) == 64
      assert String.starts_with?(text(output), @lines)
    end

    test "may be allowed, and then no others are sampled", %{engine: engine, encode: encode} do
      allowed = encode.(" one two gamma")
      params = [n: 3, seed: 9, max_tokens: 30, ignore_eos: true, allowed_token_ids: allowed]

      for completion <- complete(engine, "count", params).outputs do
        assert length(completion.token_ids) == 30
        assert Enum.all?(completion.token_ids, &(&1 in allowed))
      end
    end
  end

  # Where nothing is left vLLM goes on with id 0.
  describe "parameters that together leave no token are refused:" do
    test "what is known before the first token", %{engine: engine, encode: encode, eos: eos} do
      [a, b] = encode.("ab")
      {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
      {:ok, vocabulary} = Vllm.call(tokenizer, :get_vocab)
      all = Map.values(vocabulary)

      for {params, names} <- [
            {[allowed_token_ids: [a], bad_words: ["a"]], ["allowed_token_ids", "bad_words"]},
            {[allowed_token_ids: [a, b], bad_words: ["b", "a"]],
             ["allowed_token_ids", "bad_words"]},
            {[allowed_token_ids: [eos], min_tokens: 5], ["allowed_token_ids", "min_tokens"]},
            {[allowed_token_ids: [eos, a], min_tokens: 5, bad_words: ["a"]],
             ["allowed_token_ids", "bad_words", "min_tokens"]},
            {[allowed_token_ids: [a], min_tokens: 1, stop_token_ids: [a]],
             ["allowed_token_ids", "min_tokens"]},
            {[allowed_token_ids: [a], logit_bias: %{a => :neg_infinity}],
             ["allowed_token_ids", "logit_bias"]},
            {[allowed_token_ids: [a], logit_bias: %{a => -1.0e39}],
             ["allowed_token_ids", "logit_bias"]},
            {[logit_bias: Map.new(all, &{&1, :neg_infinity})], ["logit_bias"]},
            {[stop_token_ids: all, min_tokens: 2], ["min_tokens"]}
          ],
          more <- [[temperature: 0.0], [seed: 1], [seed: 1, n: 3], [seed: 1, top_k: 1]] do
        result = AsyncLLM.generate(engine, "Hello", params ++ more, request_id())
        assert {:error, %Error{kind: :invalid} = error} = result
        assert error.message =~ "no token is left to choose"
        assert error.details["parameters"] == names
      end

      assert_well(engine)
    end

    for kind <- [:CUMULATIVE, :DELTA, :FINAL_ONLY], n <- [1, 3] do
      @kind kind
      @n n

      test "what shows later ends the request, #{kind}, n: #{n}", context do
        [a] = context.encode.("a")

        beside =
          Task.async(fn ->
            text(complete(context.engine, "count", temperature: 0.0, max_tokens: 200))
          end)

        for {params, names, tokens} <- [
              {[allowed_token_ids: [a], bad_words: ["aa"]], ["allowed_token_ids", "bad_words"],
               1},
              {[allowed_token_ids: [a, context.eos], bad_words: ["aaa"], min_tokens: 5],
               ["allowed_token_ids", "bad_words", "min_tokens"], 2}
            ] do
          params = params ++ [seed: 1, n: @n, output_kind: @kind, max_tokens: 8]
          assert {:ok, stream} = AsyncLLM.generate(context.engine, "Hello", params, request_id())
          assert {:error, %Error{kind: :invalid} = error} = Stream.collect(stream)
          assert error.message =~ "after #{tokens} tokens no token was left to choose"
          assert error.details["parameters"] == names
        end

        assert Task.await(beside, :infinity) == counting(200)
        assert_well(context.engine)
      end
    end

    test "and what leaves one gives that one", %{engine: engine, encode: encode, eos: eos} do
      [a, b] = encode.("ab")

      for {params, said} <- [
            {[allowed_token_ids: [a, b], bad_words: ["a"]], "bbbb"},
            {[allowed_token_ids: [a, b], bad_words: ["aa", "bb"]], ~r/\A((ab)+|(ba)+)\z/},
            {[allowed_token_ids: [a, eos], min_tokens: 4], "aaaa"},
            {[allowed_token_ids: [a, b], logit_bias: %{a => :neg_infinity}], "bbbb"},
            {[allowed_token_ids: [a, b], logit_bias: %{a => :infinity}], "aaaa"}
          ] do
        assert text(complete(engine, "Hello", params ++ [seed: 1, max_tokens: 4])) =~ said
      end
    end
  end

  test "an interval reduces the number of items", %{engine: engine} do
    params = [temperature: 0.0, max_tokens: 100, output_kind: :DELTA, stream_interval: 20]
    items = engine |> generate("count", params) |> Enum.to_list()
    # Items that are not taken in time are merged.
    assert length(items) in 1..7
    assert Enum.map_join(items, &text/1) == counting(100)
  end

  test "a repeated prompt is read from the cache, unless the request forbids it",
       %{engine: engine} do
    # The salt is of this test alone, so the first of them finds nothing.
    prompt = %{prompt: String.duplicate("count ", 200) <> "count", cache_salt: request_id()}
    params = [temperature: 0.0, max_tokens: 5]
    first = complete(engine, prompt, params)
    second = complete(engine, prompt, params)
    third = complete(engine, prompt, params ++ [skip_reading_prefix_cache: true])
    assert first.num_cached_tokens == 0
    assert second.num_cached_tokens > 100
    assert third.num_cached_tokens == 0
    for output <- [first, second, third], do: assert(text(output) == counting(5))
  end

  test "arguments of the caller's own are accepted", %{engine: engine} do
    extra = %{"my" => [1, %{"deep" => nil}], "name" => "é", "n" => 2.5}
    params = [temperature: 0.0, max_tokens: 3, extra_args: extra]
    assert text(complete(engine, "count", params)) == counting(3)
  end

  describe "of the call's own arguments," do
    # tests/v1/engine/test_async_llm.py::test_dp_rank_argument
    test "data_parallel_rank is one that exists", %{engine: engine} do
      params = [temperature: 0.0]
      assert text(complete(engine, "Hello", params, data_parallel_rank: 0)) == hello()

      for rank <- [1, -1] do
        assert {:error, %Error{kind: :invalid} = error} =
                 AsyncLLM.generate(engine, "Hello", params, request_id(), data_parallel_rank: rank)

        assert error.message =~ "data_parallel_rank"
      end
    end

    test "tokenization_kwargs may cut the prompt", %{engine: engine, encode: encode} do
      [hello] = encode.("Hello")
      [count, space] = encode.("count ")

      for {kwargs, ids, said} <- [
            {%{"truncate_prompt_tokens" => 2}, [space, hello], " from a"},
            {%{truncate_prompt_tokens: 1}, [hello], " from a"},
            {%{"truncate_prompt_tokens" => 2, "truncation_side" => "right"}, [count, space],
             " I only"},
            {%{"truncation" => true, "max_length" => 2}, [space, hello], " from a"}
          ] do
        params = [temperature: 0.0, max_tokens: 2]
        output = complete(engine, "count Hello", params, tokenization_kwargs: kwargs)
        assert {kwargs, output.prompt_token_ids} == {kwargs, ids}
        assert {kwargs, text(output)} == {kwargs, said}
        assert output.prompt == "count Hello"
      end
    end

    test "a lower priority is served first, where the engine looks at it", %{limited: engine} do
      params = [temperature: 0.0, max_tokens: 4]
      # While it is paused they all wait, and after that it takes one at a time.
      {:ok, nil} = Vllm.call(engine, :pause_generation, mode: "keep")

      streams =
        for priority <- [3, -1, 2, 0, 1] do
          {priority, generate(engine, "count", params, priority: priority)}
        end

      {:ok, nil} = Vllm.call(engine, :resume_generation)

      begun =
        for {priority, stream} <- streams do
          assert {:ok, output} = Stream.collect(stream)
          assert text(output) == counting(4)
          {output.metrics.first_token_ts, priority}
        end

      assert begun |> Enum.sort() |> Enum.map(&elem(&1, 1)) == [-1, 0, 1, 2, 3]
    end
  end

  test "more completions than the limit are refused", %{engine: engine} do
    for n <- [513, 16_385, 1_000_000, 2 ** 40] do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.generate(engine, "Hello", [n: n], request_id())

      assert error.message =~ "n must be at most 512"
    end

    assert_well(engine)
  end
end
