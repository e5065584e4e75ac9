defmodule Vllm.RealEngine.SmallModelTest do
  # A model that speaks, on the real engine: from a question through its chat template to an answer.
  use Vllm.VllmEngine, engine: :chat

  @question "What is the capital of France?"

  defp prompt(engine, messages) do
    {:ok, tokenizer} = AsyncLLM.get_tokenizer(engine)
    options = [tokenize: false, add_generation_prompt: true]
    {:ok, prompt} = Vllm.call(tokenizer, :apply_chat_template, [messages], options)
    prompt
  end

  test "the chat template opens the turns of system, user and assistant", %{engine: engine} do
    assert prompt(engine, [%{role: "user", content: @question}]) ==
             "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face" <>
               "<|im_end|>\n<|im_start|>user\n#{@question}<|im_end|>\n<|im_start|>assistant\n"
  end

  test "a question is answered, and the end of the turn ends the request", %{engine: engine} do
    prompt = prompt(engine, [%{role: "user", content: @question}])
    output = complete(engine, prompt, max_tokens: 64, temperature: 0.0)
    assert text(output) =~ "Paris"
    assert [%{finish_reason: "stop"}] = output.outputs
    # The markers of turns are one token each.
    assert hd(output.prompt_token_ids) == 1
    assert Enum.count(output.prompt_token_ids, &(&1 in [1, 2])) == 5
  end

  test "a text is continued", %{engine: engine} do
    assert text(complete(engine, "One, two, three,", max_tokens: 4, temperature: 0.0)) =~ "four"
  end
end
