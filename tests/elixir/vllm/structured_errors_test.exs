defmodule Vllm.RealEngine.StructuredErrorsTest do
  # Structures that cannot be: each is an error of its request alone, and the engine lives. The
  # cases of vLLM's tests/v1/entrypoints/llm/test_struct_output_generate.py that are about errors.
  # The back end is xgrammar: see settle_structures in Vllm.VllmEngine.
  use Vllm.VllmEngine, engine: :scripted

  alias Vllm.StructuredOutputsParams, as: Structure

  @greedy [temperature: 0.0, max_tokens: 64]

  setup %{engine: engine} do
    on_exit(fn -> assert_well(engine) end)
  end

  describe "the call refuses" do
    # ::test_structured_output, its part with unsupported schemas and invalid grammars
    for {name, structure, word} <- [
          {"a regular expression that ends too soon", [regex: "["], "unclosed"},
          {"a repetition that ends too soon", [regex: "a{"], "unclosed"},
          {"a regular expression that looks ahead", [regex: "(?=a)b"], "look-ahead"},
          {"a regular expression that refers back", [regex: "(a)\\1"], "backreference"},
          {"a regular expression with a zero", [regex: "a\0b"], "NUL"},
          {"text that is no JSON", [json: "nope"], "JSON"},
          {"a schema of no text", [json: ""], "empty"},
          {"a schema that is a list", [json: "[]"], "schema"},
          {"a schema whose reference leads nowhere", [json: %{"$ref" => "#/nowhere"}],
           "/nowhere"},
          {"a schema that is its own", [json: %{"$ref" => "#"}],
           "$ref at the root leads back to"},
          {"a schema with a part that is its own",
           [json: %{type: "object", properties: %{a: %{"$ref" => "#/properties/a"}}}],
           "$ref at /properties/a leads back to itself"},
          {"a schema with a key that no back end knows",
           [json: %{type: "array", uniqueItems: true, items: %{type: "integer"}}], "uniqueItems"},
          {"a schema with an unknown format", [json: %{type: "string", format: "nonsense"}],
           "nonsense"},
          {"json_object: false", [json_object: false], "json_object"},
          {"no choice", [choice: []], "empty"},
          {"EBNF that ends too soon", [grammar: "root ::= ("], "Expected"},
          {"EBNF whose rule is nowhere", [grammar: "root ::= nowhere"], "nowhere"},
          {"EBNF without a root", [grammar: ~S(main ::= "a")], "root"},
          {"Lark that ends too soon", [grammar: "start: ("], "Expected"},
          {"a grammar that is none", [grammar: "not a grammar"], "grammar"},
          {"a grammar of no text", [grammar: " "], "empty"},
          {"a structural tag that is no JSON", [structural_tag: "{"], "grammar"},
          {"a structural tag of no form", [structural_tag: ~S({"type": "structural_tag"})],
           "triggers"},
          {"a structural tag of no text", [structural_tag: ""], "empty"},
          {"a trigger that nothing begins with",
           [
             structural_tag:
               ~S({"type": "structural_tag", "triggers": ["<b>"], "structures": ) <>
                 ~S([{"begin": "<a>", "schema": {"type": "integer"}, "end": "</a>"}]})
           ], "Trigger"},
          {"two structures at once", [regex: "a", choice: ["b"]], "only use one"},
          {"no structure", [], "must use one"}
        ] do
      @structure structure
      @word word

      test name, %{engine: engine} do
        for structure <- [struct!(Structure, @structure), @structure] do
          params = @greedy ++ [structured_outputs: structure]
          result = AsyncLLM.generate(engine, "list", params, request_id())
          assert {:error, %Error{kind: :invalid} = error} = result
          assert error.message =~ @word
          refute error.retryable
        end
      end
    end
  end

  describe "the back end of the engine's first structure is that of all others:" do
    for {name, structure, word} <- [
          {"a keyword that only guidance knows",
           [json: %{properties: %{n: %{type: "integer", multipleOf: 3}}}],
           "xgrammar does not take multipleOf at /properties/n"},
          {"a grammar that only guidance reads", [grammar: ~S(root ::= "a" | )],
           "EBNF parser error at line 1, column 16"},
          {"a tag whose schema only guidance reads",
           [
             structural_tag:
               ~S({"type": "structural_tag", "triggers": ["<a>"], "structures": ) <>
                 ~S([{"begin": "<a>", "schema": {"type": "nonsense"}, "end": "</a>"}]})
           ], "xgrammar does not take type at /structures/0/schema"}
        ] do
      @structure structure
      @word word

      test name, %{engine: engine} do
        params = @greedy ++ [structured_outputs: @structure]
        result = AsyncLLM.generate(engine, "list", params, request_id())
        assert {:error, %Error{kind: :invalid} = error} = result
        assert error.message =~ @word
        assert error.message =~ "this engine compiles all structures with xgrammar"
      end
    end
  end

  test "a refused keyword is named as data", %{engine: engine} do
    schema = %{type: "object", properties: %{"a/b" => %{type: "array", uniqueItems: true}}}
    params = @greedy ++ [structured_outputs: [json: schema]]
    assert {:error, error} = AsyncLLM.generate(engine, "list", params, request_id())

    assert error.details == %{
             "parameter" => "sampling_params.structured_outputs.json",
             "keywords" => ["uniqueItems"],
             "pointer" => "/properties/a~1b"
           }
  end

  describe "a structure that leaves no token is an error of its request:" do
    for {name, grammar} <- [
          {"a rule that begins with itself", ~S(root ::= root "a")},
          {"a Lark rule that begins with itself", ~S(start: start "a")}
        ] do
      @grammar grammar

      test name, %{engine: engine} do
        params = @greedy ++ [structured_outputs: [grammar: @grammar]]
        result = AsyncLLM.generate(engine, "list", params, request_id())
        assert {:error, %Error{kind: :invalid} = error} = result
        assert error.message =~ "grammar: nothing matches it, so no token is left"
      end
    end

    for kind <- [:CUMULATIVE, :DELTA, :FINAL_ONLY] do
      @kind kind

      test "a choice among what is not allowed, #{kind}", %{engine: engine} do
        {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
        {:ok, [token]} = Vllm.call(tokenizer, :encode, ["x"])

        params =
          @greedy ++
            [
              structured_outputs: [choice: ["Paris"]],
              allowed_token_ids: [token],
              output_kind: @kind
            ]

        assert {:error, %Error{kind: :invalid} = error} =
                 engine |> generate("list", params) |> Stream.collect()

        assert error.message =~ "after 0 tokens no token was left to choose"
        assert error.details["parameters"] == ["allowed_token_ids", "structured_outputs"]
      end
    end
  end

  test "an error of one request does not affect the others", %{engine: engine} do
    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    {:ok, [token]} = Vllm.call(tokenizer, :encode, ["x"])

    kinds = [
      [structured_outputs: [choice: ["Paris"]], allowed_token_ids: [token]],
      [structured_outputs: [choice: ["yes"]]]
    ]

    for n <- 1..16 do
      params = @greedy ++ Enum.at(kinds, rem(n, 2))
      Task.async(fn -> {rem(n, 2), engine |> generate("list", params) |> Stream.collect()} end)
    end
    |> Task.await_many(:infinity)
    |> Enum.each(fn
      {0, {:error, error}} -> assert error.kind == :invalid
      {1, {:ok, output}} -> assert [%{text: "yes", finish_reason: "stop"}] = output.outputs
    end)
  end
end
