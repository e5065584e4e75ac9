defmodule Vllm.Core.InspectionTest do
  # What IEx, logs and failed assertions show of the structs of vLLM's classes.
  use ExUnit.Case, async: true

  alias Vllm.Core.Inspection

  alias Vllm.{
    AsyncEngineArgs,
    Classes,
    CompletionOutput,
    EmbeddingOutput,
    RequestOutput,
    SamplingParams,
    TextPrompt
  }

  @secret "a very secret text"

  test "only fields that differ from their defaults are shown" do
    assert inspect(%SamplingParams{}) == "%Vllm.SamplingParams{}"

    assert inspect(%SamplingParams{temperature: 0.5, stop: ["\n"], n: 2}) ==
             ~S|%Vllm.SamplingParams{n: 2, temperature: 0.5, stop: ["\n"]}|
  end

  test "what is shown whole can be copied into a program" do
    params = %SamplingParams{temperature: 0.5, stop_token_ids: [1, 2], output_kind: :DELTA}
    assert {^params, _} = params |> inspect() |> Code.eval_string()
  end

  test "an output has its text shortened, and its ids and numbers counted" do
    completion = %CompletionOutput{
      index: 0,
      text: String.duplicate("ab", 50),
      token_ids: Enum.to_list(1..120),
      logprobs: [%{}, %{}],
      finish_reason: "stop"
    }

    shown = inspect(completion, width: 200)
    assert shown =~ "#Vllm.CompletionOutput<index: 0, text: \"#{String.duplicate("ab", 30)}\""
    assert shown =~ "… (40 characters more), token_ids: 120 ids"
    assert shown =~ "logprobs: 2 positions, finish_reason: \"stop\">"

    assert inspect(%EmbeddingOutput{embedding: Enum.map(1..384, &(&1 / 7))}) ==
             "#Vllm.EmbeddingOutput<embedding: 384 numbers>"

    assert inspect(%EmbeddingOutput{embedding: [0.5, 1.0]}) ==
             "%Vllm.EmbeddingOutput{embedding: [0.5, 1.0]}"
  end

  test "a prompt is counted and not shown, also within other terms" do
    output = %RequestOutput{request_id: "r1", prompt: @secret, prompt_token_ids: [7_654_321]}
    assert inspect(output) =~ "prompt: 18 characters"
    assert inspect(output) =~ "prompt_token_ids: 1 id,\n" or inspect(output) =~ "1 id>"

    for term <- [output, {:ok, [output]}, %TextPrompt{prompt: @secret}] do
      refute inspect(term) =~ @secret
      refute inspect(term) =~ "7654321"
    end
  end

  test "secrets are hidden, also in maps within an argument" do
    for args <- [
          %AsyncEngineArgs{model: "m", hf_token: @secret},
          %AsyncEngineArgs{model: "m", hf_overrides: %{"api_key" => @secret}},
          %AsyncEngineArgs{model: "m", additional_config: %{store: [%{secret_key: @secret}]}},
          %AsyncEngineArgs{model: "m", additional_config: %{"aws_access_key" => @secret}}
        ] do
      refute inspect(args) =~ @secret
      assert inspect(args) =~ ~s|#Vllm.AsyncEngineArgs<|
      assert inspect(args) =~ "hidden"
    end

    assert inspect(%AsyncEngineArgs{hf_token: true}) == "%Vllm.AsyncEngineArgs{hf_token: true}"
  end

  test "structs: false shows everything" do
    assert inspect(%TextPrompt{prompt: @secret}, structs: false) =~ @secret
  end

  test "every generated struct is shown in this way" do
    structs =
      for path <- Path.wildcard("elixir/lib/vllm/generated/*.ex"),
          [_, name] <- Regex.scan(~r/^defmodule (Vllm\.\w+) do/m, File.read!(path)),
          module = Module.concat([name]),
          Code.ensure_loaded?(module),
          function_exported?(module, :__struct__, 0),
          do: module

    assert length(structs) > 40
    assert Classes.vllm_version()

    for module <- structs do
      assert Inspect.impl_for(module.__struct__()) == Module.concat(Inspect, module)
      assert inspect(module.__struct__()) == "%#{inspect(module)}{}"
    end
  end

  test "fields of a struct that a program has made may be anything" do
    for value <- [<<255>>, [1 | 2], {1}, %{1 => 2}, -1, self(), [%{a: [1 | 2]}]],
        field <- [:prompt, :prompt_token_ids, :outputs, :finished, :prompt_logprobs] do
      shown = RequestOutput |> struct([{field, value}]) |> inspect()
      assert shown =~ "Vllm.RequestOutput"
      refute shown =~ "Inspect.Error"
    end
  end

  test "a short text is shown whole, and a long one says how much more there is" do
    assert Inspection.text("a\nb") == ~S("a\nb")
    assert Inspection.text(String.duplicate("ä", 61)) =~ "… (1 characters more)"
  end
end
