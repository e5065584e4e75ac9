defmodule Vllm.RealEngine.SpellingsTest do
  # What vLLM 0.14 called otherwise, from Elixir. Of `pause_generation` see interrupted_test.exs, of
  # `new` see construction_test.exs.
  use Vllm.VllmEngine, engine: :scripted, also: [pooling: :pooling]

  test "encode: truncate_prompt_tokens", %{pooling: engine} do
    params = [task: "embed"]
    prompt = "longer than ten letters"

    embed = fn opts ->
      {:ok, output} = AsyncLLM.encode_collect(engine, prompt, params, request_id(), opts)
      output
    end

    old = embed.(truncate_prompt_tokens: 10)
    new = embed.(tokenization_kwargs: %{truncate_prompt_tokens: 10})
    assert length(old.prompt_token_ids) == 10
    assert {old.prompt_token_ids, old.outputs} == {new.prompt_token_ids, new.outputs}

    both = [truncate_prompt_tokens: 10, tokenization_kwargs: %{truncate_prompt_tokens: 10}]

    assert {:error, %Error{kind: :invalid} = error} =
             AsyncLLM.encode(engine, prompt, params, request_id(), both)

    assert error.message =~ "truncate_prompt_tokens"
  end

  test "SamplingParams: truncate_prompt_tokens", %{engine: engine} do
    params = [temperature: 0.0, max_tokens: 3]
    whole = complete(engine, "say Hello", params)
    cut = complete(engine, "say Hello", params ++ [truncate_prompt_tokens: 5])
    assert cut.prompt_token_ids == Enum.take(whole.prompt_token_ids, -5)
  end

  test "SamplingParams: guided_decoding", %{engine: engine} do
    guided = [choice: ["red", "green"], backend: "xgrammar"]
    params = [temperature: 0.0, max_tokens: 16]
    output = complete(engine, "Hello", params ++ [guided_decoding: guided])
    assert text(output) in ["red", "green"]

    for both <- [[guided_decoding: guided, structured_outputs: [choice: ["red"]]]] do
      assert {:error, %Error{kind: :invalid} = error} =
               AsyncLLM.generate(engine, "Hello", params ++ both, request_id())

      assert error.message =~ "guided_decoding"
      assert error.message =~ "structured_outputs"
    end
  end
end
