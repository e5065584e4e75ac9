defmodule Vllm.RealEngine.StructuredOutputsTest do
  # Output that is forced into a structure, of every form that vLLM knows, and with the other
  # parameters: the cases of vLLM's tests/v1/entrypoints/llm/test_struct_output_generate.py, named
  # at each test. Structures that cannot be are in structured_errors_test.exs.
  use Vllm.VllmEngine, engine: :scripted

  alias Vllm.StructuredOutputsParams, as: Structure

  # Left to itself the scripted model would fill a document with white space for ever.
  @greedy [temperature: 0.0, max_tokens: 64]
  @city %{
    "type" => "object",
    "properties" => %{
      "city" => %{"type" => "string", "maxLength" => 5},
      "n" => %{"type" => "integer", "minimum" => 0, "maximum" => 9}
    },
    "required" => ["city", "n"],
    "additionalProperties" => false
  }
  @city_text ~S|{"type": "object", "properties": {"city": {"type": "string", "maxLength": 5}, | <>
               ~S|"n": {"type": "integer", "minimum": 0, "maximum": 9}}, | <>
               ~S|"required": ["city", "n"], "additionalProperties": false}|
  @city_form ~r/\A\{"city":"[^"]{0,5}","n":[0-9]\}\z/u

  @older_tag ~S"""
  {"type": "structural_tag",
   "structures": [{"begin": "<think>", "schema": {"enum": ["A", "B"]}, "end": "</think>"}],
   "triggers": ["<think>"]}
  """
  @newer_tag ~S"""
  {"type": "structural_tag",
   "format": {"type": "tag", "begin": "<a>", "end": "</a>",
              "content": {"type": "json_schema", "json_schema": {"enum": ["A", "B"]}}}}
  """

  setup_all %{engine: engine} do
    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    encode = fn text -> tokenizer |> Vllm.call(:encode, [text]) |> elem(1) end
    %{encode: encode, compact: [logit_bias: Map.new(encode.("\t\n\r "), &{&1, -100.0})]}
  end

  setup %{engine: engine} do
    on_exit(fn -> assert_well(engine) end)
  end

  describe "the output matches" do
    # ::test_structured_output, whose back end here is vLLM's own choice
    test "a JSON schema, given as a map or as text", %{engine: engine, compact: compact} do
      said =
        for schema <- [@city, atoms(@city), @city_text] do
          output =
            complete(
              engine,
              "weather",
              @greedy ++ compact ++ [structured_outputs: [json: schema]]
            )

          assert text(output) =~ @city_form
          assert [%{finish_reason: "stop", stop_reason: nil}] = output.outputs
          text(output)
        end

      assert [_one] = Enum.uniq(said)
    end

    test "a JSON schema in any language", %{engine: engine} do
      schema = %{enum: ["Zürich", "東京 🗼", "say \"hi\""]}
      params = [n: 8, seed: 1, max_tokens: 64, structured_outputs: [json: schema]]

      said = for completion <- complete(engine, "list", params).outputs, do: completion.text
      assert Enum.uniq(said) -- [~S("Zürich"), ~S("東京 🗼"), ~S("say \"hi\"")] == []
    end

    for {name, structure, form} <- [
          {"any JSON object", [json_object: true], ~r/\A\{"name": "get_weather",.+\}\}\z/},
          {"a regular expression", [regex: "[0-9]{3}-[0-9]{4}"], ~r/\A[0-9]{3}-[0-9]{4}\z/},
          {"a regular expression of letters beyond ASCII", [regex: "(ä|日本){2}"],
           ~r/\A(ä|日本){2}\z/u},
          {"a regular expression that matches nothing but the end", [regex: ""], ~r/\A\z/},
          {"a choice", [choice: ["Paris", "London"]], ~r/\A(Paris|London)\z/},
          {"a choice of one", [choice: ["Paris is \"it\"\n"]], ~r/\AParis is "it"\n\z/},
          {"an EBNF grammar", [grammar: ~S[root ::= "yes " ("alpha" | "beta") "!"]],
           ~r/\Ayes (alpha|beta)!\z/},
          {"an EBNF grammar of several rules",
           [grammar: "root ::= term (\"+\" term)? \";\"\nterm ::= [0-9]{1,2}"],
           ~r/\A\d{1,2}(\+\d{1,2})?;\z/},
          {"a Lark grammar", [grammar: ~S[start: "yes " ("alpha" | "beta") "!"]],
           ~r/\Ayes (alpha|beta)!\z/},
          {"a Lark grammar with a terminal",
           [grammar: "start: \"n=\" NUMBER \".\"\nNUMBER: /[0-9]{2}/"], ~r/\An=\d\d\.\z/},
          {"a structural tag", [structural_tag: @newer_tag], ~r/\A<a>"(A|B)"<\/a>\z/}
        ] do
      @structure structure
      @form form

      test name, %{engine: engine} do
        for structure <- [@structure, struct!(Structure, @structure), Map.new(@structure)] do
          output = complete(engine, "weather", @greedy ++ [structured_outputs: structure])
          assert text(output) =~ @form
          assert [%{finish_reason: "stop", stop_reason: nil}] = output.outputs
        end
      end
    end

    test "a structural tag of the older form, after its trigger", %{engine: engine} do
      output =
        complete(engine, "think", @greedy ++ [structured_outputs: [structural_tag: @older_tag]])

      assert text(output) =~ ~r/\A<think>"(A|B)"<\/think>/

      # Without the trigger there is nothing to force.
      output =
        complete(engine, "Hello", @greedy ++ [structured_outputs: [structural_tag: @older_tag]])

      assert text(output) == hello()
    end
  end

  describe "with a structure" do
    test "every output kind is allowed, with the same text", %{engine: engine} do
      params = @greedy ++ [structured_outputs: [regex: "[a-c]{10}[x-z]{10}"], logprobs: 1]

      [final] = items(engine, params, :FINAL_ONLY)
      assert text(final) =~ ~r/\A[a-c]{10}[x-z]{10}\z/
      cumulative = items(engine, params, :CUMULATIVE)
      assert List.last(cumulative).outputs == final.outputs
      deltas = items(engine, params, :DELTA)
      assert Enum.map_join(deltas, &text/1) == text(final)
      assert Enum.flat_map(deltas, &ids/1) == ids(final)
      assert Enum.flat_map(deltas, &hd(&1.outputs).logprobs) == hd(final.outputs).logprobs
    end

    test "logprobs of every token are allowed", %{engine: engine, encode: encode} do
      params = @greedy ++ [structured_outputs: [choice: ["Paris"]], logprobs: 3]
      [completion] = complete(engine, "list", params).outputs
      assert Enum.take(completion.token_ids, 5) == encode.("Paris")
      assert length(completion.logprobs) == length(completion.token_ids)

      # They are of what is left when the structure has forbidden the rest.
      for {id, position} <- Enum.zip(completion.token_ids, completion.logprobs) |> Enum.take(5) do
        {%{rank: 1, logprob: 0.0}, others} = Map.pop!(position, id)
        for {_id, entry} <- others, do: assert(entry.logprob == :neg_infinity)
      end
    end

    test "several completions are allowed, each of which matches", context do
      params =
        [n: 6, seed: 3, max_tokens: 64, structured_outputs: [json: @city]] ++ context.compact

      output = complete(context.engine, "list", params)
      assert Enum.map(output.outputs, & &1.index) == [0, 1, 2, 3, 4, 5]
      for completion <- output.outputs, do: assert(completion.text =~ @city_form)
      assert complete(context.engine, "list", params).outputs == output.outputs
    end

    test "a seed determines the choice among allowed tokens", %{engine: engine} do
      choose = fn seed ->
        params = [n: 12, seed: seed, structured_outputs: [choice: ["A", "B", "C"]]]
        for completion <- complete(engine, "list", params).outputs, do: completion.text
      end

      assert choose.(1) == choose.(1)
      assert choose.(1) != choose.(2)
      assert choose.(1) |> Enum.uniq() |> Enum.sort() == ["A", "B", "C"]
    end

    test "stop strings are allowed", %{engine: engine} do
      structure = [structured_outputs: [choice: ["Paris is it"]]]

      for {stop, text, reason} <- [
            {[stop: ["ris"]], "Pa", "ris"},
            {[stop: ["is it"], include_stop_str_in_output: true], "Paris is it", "is it"}
          ] do
        [completion] = complete(engine, "list", @greedy ++ structure ++ stop).outputs
        assert {completion.text, completion.stop_reason} == {text, reason}
        assert completion.finish_reason == "stop"
      end
    end

    # vLLM lets a stop token come only where the structure ends. If the structure needs it before,
    # there is no way on.
    test "stop tokens that the structure does not need are allowed", context do
      structure = [structured_outputs: [choice: ["Paris is it"]]]
      # What the model would say next.
      [word] = context.encode.(" I")
      params = @greedy ++ structure ++ [stop_token_ids: [word]]
      [completion] = complete(context.engine, "list", params).outputs

      assert {completion.text, completion.finish_reason, completion.stop_reason} ==
               {"Paris is it", "stop", word}

      [space] = context.encode.(" ")
      params = @greedy ++ structure ++ [stop_token_ids: [space]]
      stream = generate(context.engine, "list", params)
      assert {:error, %Error{kind: :invalid} = error} = Stream.collect(stream)
      assert error.message =~ "after 5 tokens no token was left to choose"
      assert error.details["parameters"] == ["stop_token_ids", "structured_outputs"]
    end

    # vLLM lets it end before min_tokens where it can do nothing else.
    test "min_tokens beyond its end are not waited for", %{engine: engine} do
      params = @greedy ++ [structured_outputs: [choice: ["a"]], min_tokens: 5]
      assert [%{text: "a", finish_reason: "stop"}] = complete(engine, "list", params).outputs
    end

    test "nothing is said of what follows an end that is ignored", %{engine: engine} do
      params = @greedy ++ [structured_outputs: [choice: ["a"]], ignore_eos: true]
      [completion] = complete(engine, "Hello", params).outputs
      assert {completion.finish_reason, length(completion.token_ids)} == {"length", 64}
      assert String.starts_with?(completion.text, "a")
    end

    test "banned, biased and allowed tokens are respected", %{engine: engine, encode: encode} do
      structure = [structured_outputs: [regex: "[a-c]{6}"]]
      [a, b] = encode.("ab")

      for {more, form} <- [
            {[bad_words: ["a"]], ~r/\A[bc]{6}\z/},
            {[bad_words: ["a", "bb"]], ~r/\A(?!.*bb)[bc]{6}\z/},
            {[logit_bias: %{b => 100.0}], ~r/\Ab{6}\z/},
            {[logit_bias: %{a => -100.0, b => -100.0}], ~r/\Ac{6}\z/},
            {[allowed_token_ids: [b]], ~r/\Ab{6}/}
          ] do
        [completion] =
          complete(engine, "list", [max_tokens: 6, seed: 1] ++ structure ++ more).outputs

        assert completion.text =~ form, inspect({more, completion.text})
      end
    end

    test "max_tokens may cut the output", %{engine: engine} do
      params = [temperature: 0.0, max_tokens: 3, structured_outputs: [choice: ["Paris"]]]
      assert [%{text: "Par", finish_reason: "length"}] = complete(engine, "list", params).outputs
    end

    test "a priority and arguments of the caller's own are allowed", %{engine: engine} do
      params = @greedy ++ [structured_outputs: [choice: ["Paris"]], extra_args: %{"a" => 1}]
      assert text(complete(engine, "list", params, priority: 3)) == "Paris"
    end
  end

  # ::test_structured_output_batched_with_non_structured_outputs_requests
  test "requests with and without a structure do not affect each other", context do
    %{engine: engine, compact: compact} = context

    wanted =
      for n <- 1..24 do
        case rem(n, 4) do
          0 ->
            {"count", @greedy, &(&1 == counting(64))}

          1 ->
            {"weather", @greedy ++ compact ++ [structured_outputs: [json: @city]],
             &(&1 =~ @city_form)}

          2 ->
            {"Hello", @greedy, &(&1 == hello())}

          3 ->
            {"list", @greedy ++ [structured_outputs: [choice: ["c#{n}"]]], &(&1 == "c#{n}")}
        end
      end

    wanted
    |> Enum.map(fn {prompt, params, right?} ->
      Task.async(fn -> {right?, text(complete(engine, prompt, params))} end)
    end)
    |> Task.await_many(:infinity)
    |> Enum.each(fn {right?, said} -> assert right?.(said), said end)
  end

  defp items(engine, params, kind) do
    engine |> generate("list", params ++ [output_kind: kind]) |> Enum.to_list()
  end

  defp atoms(%{} = map),
    do: Map.new(map, fn {key, value} -> {String.to_atom(key), atoms(value)} end)

  defp atoms(value), do: value
end
