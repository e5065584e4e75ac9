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

  describe "an error that vLLM finds while it compiles a structure ends the request:" do
    for {name, structure} <- [
          {"a rule that begins with itself", [grammar: ~S(root ::= root "a")]},
          {"an alternative of nothing", [grammar: ~S(root ::= "a" | )]},
          {"a tag with a schema of no type",
           [
             structural_tag:
               ~S({"type": "structural_tag", "triggers": ["<a>"], "structures": ) <>
                 ~S([{"begin": "<a>", "schema": {"type": "nonsense"}, "end": "</a>"}]})
           ]}
        ],
        kind <- [:CUMULATIVE, :DELTA, :FINAL_ONLY] do
      @structure structure
      @kind kind

      test "#{name}, #{kind}", %{engine: engine} do
        params = @greedy ++ [structured_outputs: @structure]
        assert [item] = items(engine, params, @kind)
        assert %RequestOutput{finished: true, outputs: [completion]} = item
        assert %CompletionOutput{text: "", finish_reason: "error", stop_reason: nil} = completion
      end
    end

    test "a structure that excludes all allowed tokens", %{engine: engine} do
      {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
      {:ok, [token]} = Vllm.call(tokenizer, :encode, ["x"])

      params =
        @greedy ++
          [structured_outputs: [choice: ["Paris"]], allowed_token_ids: [token]]

      assert [%{text: "", finish_reason: "error"}] = complete(engine, "list", params).outputs
    end
  end

  test "an error of one request does not affect the others", %{engine: engine} do
    structures = [[grammar: ~S(root ::= root "a")], [choice: ["yes"]]]

    for n <- 1..16 do
      params = @greedy ++ [structured_outputs: Enum.at(structures, rem(n, 2))]
      Task.async(fn -> {rem(n, 2), complete(engine, "list", params).outputs} end)
    end
    |> Task.await_many(:infinity)
    |> Enum.each(fn
      {0, [completion]} -> assert completion.finish_reason == "error"
      {1, [completion]} -> assert {completion.text, completion.finish_reason} == {"yes", "stop"}
    end)
  end

  defp items(engine, params, kind) do
    engine |> generate("list", params ++ [output_kind: kind]) |> Enum.to_list()
  end
end
