defmodule Vllm.RealEngine.StoppingTest do
  # How a request ends: at stop strings and tokens, not before min_tokens, and at repetition. The
  # cases of vLLM's tests/v1/sample, tests/detokenizer and tests/v1/core, named at each test.
  use Vllm.VllmEngine, engine: :scripted

  @lines " I only know my lines."

  setup_all %{engine: engine} do
    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    {:ok, eos} = Vllm.call(tokenizer, :eos_token_id)
    %{encode: fn text -> tokenizer |> Vllm.call(:encode, [text]) |> elem(1) end, eos: eos}
  end

  describe "stop" do
    # tests/v1/sample/test_sampling_params_e2e.py::test_stop
    for kind <- [:DELTA, :CUMULATIVE, :FINAL_ONLY] do
      @kind kind

      test "may span tokens, and no part of it is in the output, #{kind}", %{engine: engine} do
        params = [temperature: 0.0, max_tokens: 64, output_kind: @kind, stop: ["beta STOP gam"]]
        assert {texts, "stop", "beta STOP gam"} = texts(engine, "list", params)
        assert whole(texts, @kind) == " alpha "
        refute Enum.any?(texts, &(&1 =~ "be"))

        params = params ++ [include_stop_str_in_output: true]
        assert {texts, "stop", "beta STOP gam"} = texts(engine, "list", params)
        assert whole(texts, @kind) == " alpha beta STOP gam"
      end
    end

    test "may be one string, or several, of which the first to occur counts", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 64]

      for {stop, reason} <- [{" beta", " beta"}, {["gamma", "ST", "x"], "ST"}] do
        [completion] = complete(engine, "list", params ++ [stop: stop]).outputs
        assert {completion.finish_reason, completion.stop_reason} == {"stop", reason}
        refute completion.text =~ reason
      end
    end

    # vLLM's own detokenizer gives such a prompt as the first text.
    for kind <- [:DELTA, :CUMULATIVE, :FINAL_ONLY], n <- [1, 3] do
      @kind kind
      @n n

      test "is not found in a prompt that ends inside a character, #{kind}, n: #{n}", context do
        {prompt, [last]} = "the secret prompt é" |> context.encode.() |> Enum.split(-1)
        [x] = context.encode.("x")

        for {allowed, stop, said, reason} <- [
              {[last], "secret", "é", nil},
              {[x], "secret", "x", nil},
              {[x], "x", "", "x"}
            ] do
          params = [seed: 1, n: @n, max_tokens: 1, allowed_token_ids: allowed, stop: [stop]]
          params = params ++ [output_kind: @kind, logprobs: 1]
          output = complete(context.engine, %{prompt_token_ids: prompt}, params)

          assert Enum.map(output.outputs, &{&1.text, &1.stop_reason}) ==
                   List.duplicate({said, reason}, @n)
        end
      end
    end

    test "is not found in a prompt that is cut inside a character", context do
      count = length(context.encode.("secret é"))
      kwargs = %{"truncate_prompt_tokens" => count - 1, "truncation_side" => "right"}
      params = [temperature: 0.0, max_tokens: 3, stop: ["secret"]]
      output = complete(context.engine, "secret é", params, tokenization_kwargs: kwargs)
      assert length(output.prompt_token_ids) == count - 1
      assert text(output) == " I only know"
    end

    # tests/detokenizer/test_stop_reason.py::test_stop_reason
    test "has a token, a string or the end of the sequence as its reason", context do
      %{engine: engine, encode: encode, eos: eos} = context
      [beta] = encode.(" beta")
      params = [temperature: 0.0, max_tokens: 64]

      for {more, reason, text} <- [
            {[], nil, " alpha beta STOP gamma delta"},
            {[stop_token_ids: [beta]], beta, " alpha"},
            {[stop_token_ids: [beta], include_stop_str_in_output: true], beta, " alpha beta"},
            {[stop: ["STOP"]], "STOP", " alpha beta "},
            {[stop_token_ids: [eos]], nil, " alpha beta STOP gamma delta"},
            {[stop_token_ids: [eos], ignore_eos: true], eos, " alpha beta STOP gamma delta"}
          ] do
        [completion] = complete(engine, "list", params ++ more).outputs
        assert {more, completion.stop_reason} == {more, reason}
        assert {more, completion.text} == {more, text}
        assert completion.finish_reason == "stop"
      end

      [completion] = complete(engine, "count", temperature: 0.0, max_tokens: 5).outputs
      assert {completion.finish_reason, completion.stop_reason} == {"length", nil}
    end

    test "of the end of the sequence may be ignored", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 12, ignore_eos: true]
      [completion] = complete(engine, "Hello", params).outputs
      assert length(completion.token_ids) == 12
      assert completion.finish_reason == "length"
      assert String.starts_with?(completion.text, hello())
    end
  end

  describe "min_tokens" do
    # tests/v1/e2e/general/test_min_tokens.py::test_min_tokens_basic_functionality
    test "are generated at least, and max_tokens at most", %{engine: engine, eos: eos} do
      for {minimum, maximum, count} <- [{0, 64, 8}, {5, 64, 8}, {20, 64, 22}, {20, 20, 20}] do
        params = [temperature: 0.0, min_tokens: minimum, max_tokens: maximum]
        [completion] = complete(engine, "Hello", params).outputs
        assert {minimum, length(completion.token_ids)} == {minimum, count}
        assert completion.finish_reason == if(count == maximum, do: "length", else: "stop")
        refute eos in Enum.take(completion.token_ids, minimum)
      end
    end

    # tests/v1/e2e/general/test_min_tokens.py::test_min_tokens_eos_behavior
    test "forbid the end of the sequence to the last of them", %{engine: engine, eos: eos} do
      # It is the eighth token.
      params = [temperature: 0.0, max_tokens: 64]
      assert [%{token_ids: ids}] = complete(engine, "Hello", params ++ [min_tokens: 7]).outputs
      assert Enum.find_index(ids, &(&1 == eos)) == 7

      output = complete(engine, "Hello", params ++ [min_tokens: 8])
      assert text(output) == hello() <> @lines
      assert Enum.find_index(ids(output), &(&1 == eos)) > 8
    end

    # tests/detokenizer/test_min_tokens.py::test_min_tokens_with_stop
    test "suspend stop strings and stop tokens", %{engine: engine, encode: encode} do
      params = [temperature: 0.0, max_tokens: 64, min_tokens: 4]
      # The text passes it by, and ends at the next.
      [completion] = complete(engine, "count", params ++ [stop: [" two"]]).outputs
      assert completion.text == counting(9)
      assert {completion.finish_reason, completion.stop_reason} == {"stop", " two"}
      assert complete(engine, "count", stop: [" two"], temperature: 0.0) |> text() == " one"

      # The token is not even sampled.
      [two] = encode.(" two")
      [completion] = complete(engine, "count", params ++ [stop_token_ids: [two]]).outputs
      assert completion.text == " one" <> @lines
    end
  end

  # tests/v1/core/test_repetition_detection.py::test_basic_repetition_stops_generation
  test "repetition is detected", %{engine: engine} do
    params = [temperature: 0.0, max_tokens: 100]

    for {detection, count} <- [
          {%Vllm.RepetitionDetectionParams{max_pattern_size: 8, min_count: 2}, 16},
          {[max_pattern_size: 10, min_pattern_size: 3, min_count: 3], 24},
          # Of a pattern this long there is no second.
          {%{"max_pattern_size" => 7, "min_count" => 2}, 100}
        ] do
      params = params ++ [repetition_detection: detection]
      [completion] = complete(engine, "count", params).outputs
      assert completion.text == counting(count)

      assert {completion.finish_reason, completion.stop_reason} ==
               if(count == 100, do: {"length", nil}, else: {"repetition", "repetition_detected"})
    end

    assert {:error, %Error{kind: :invalid} = error} =
             AsyncLLM.generate(
               engine,
               "count",
               [repetition_detection: [max_pattern_size: 8, min_count: 1]],
               request_id()
             )

    assert error.message =~ "min_count"
  end

  # The text of each item, and why the last one ended.
  defp texts(engine, prompt, params) do
    items = engine |> generate(prompt, params) |> Enum.to_list()
    [completion] = List.last(items).outputs
    {Enum.map(items, &text/1), completion.finish_reason, completion.stop_reason}
  end

  defp whole(texts, :DELTA), do: Enum.join(texts)
  defp whole(texts, _kind), do: List.last(texts)
end
