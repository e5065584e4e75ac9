defmodule Vllm.ClassesTest do
  # The tables of names, and the structs made from vLLM's classes.
  use ExUnit.Case, async: true

  alias Vllm.Classes

  doctest Vllm.SamplingParams
  doctest Vllm.StructuredOutputsParams
  doctest Vllm.LoRARequest
  doctest Vllm.TokensPrompt

  @names ~w(AsyncEngineArgs SamplingParams StructuredOutputsParams PoolingParams LoRARequest
            RequestOutput CompletionOutput Logprob PoolingRequestOutput PoolingOutput
            RequestStateStats TextPrompt TokensPrompt)

  test "a class and its module name each other" do
    for name <- @names do
      module = Classes.module_for(name)
      assert Code.ensure_loaded?(module)
      assert Classes.class_for(module) == name
    end
  end

  test "an unknown name gives nil, and becomes no atom" do
    assert Classes.module_for("Nothing") == nil
    assert Classes.class_for(Vllm.Nothing) == nil
    assert Classes.field_atom(Vllm.SamplingParams, "no_such_field_of_ours") == nil
    assert Classes.field_atom(Vllm.Nothing, "n") == nil
    assert Classes.enum_member("RequestOutputKind", "NOTHING") == nil
    assert_raise ArgumentError, fn -> String.to_existing_atom("no_such_field_of_" <> "ours") end
  end

  test "the fields of a module are those of its struct" do
    for name <- @names, module = Classes.module_for(name) do
      # What outputs keep of a newer worker is no field of Python's.
      fields = struct(module) |> Map.from_struct() |> Map.delete(:extra) |> Map.keys()
      assert module |> Classes.fields() |> Map.values() |> Enum.sort() == Enum.sort(fields)
      for field <- fields, do: assert(Classes.field_atom(module, to_string(field)) == field)
    end
  end

  test "members of an enum are atoms" do
    assert Classes.enum_member("RequestOutputKind", "DELTA") == :DELTA
    assert Classes.module_for("RequestOutputKind") == nil
  end

  test "defaults are vLLM's, or :default if only vLLM knows them" do
    assert %Vllm.SamplingParams{max_tokens: 16, temperature: 1.0, stop: nil} =
             %Vllm.SamplingParams{}

    assert %Vllm.SamplingParams{}.output_kind == :CUMULATIVE
    assert %Vllm.PoolingParams{}.output_kind == :FINAL_ONLY
    assert %Vllm.AsyncEngineArgs{}.compilation_config == :default
  end

  test "every struct documents each of its fields" do
    for name <- @names, module = Classes.module_for(name) do
      {:docs_v1, _, :elixir, _, %{"en" => doc}, _, _} = Code.fetch_docs(module)
      for {field, _} <- Classes.fields(module), do: assert(doc =~ "* `:#{field}` - ")
      # IEx would take such lines for a table.
      refute doc =~ " | "
    end
  end
end
