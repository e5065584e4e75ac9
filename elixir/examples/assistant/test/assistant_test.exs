defmodule AssistantTest do
  use ExUnit.Case

  setup do
    engine = Vllm.Test.await_engine!(Assistant.Vllm)
    Vllm.Test.reset(engine)
    %{engine: engine}
  end

  test "a question is answered", %{engine: engine} do
    Vllm.Test.reply(engine, "What is the capital of France?", "Paris.")
    assert Assistant.ask("What is the capital of France?") == {:ok, "Paris."}

    chat = Vllm.Test.assert_chatted(engine, fields: [max_tokens: 60])
    assert [%{"role" => "user"}] = chat.messages
  end

  test "a full engine is an error", %{engine: engine} do
    Vllm.Test.refuse_admission(engine)
    assert {:error, %Vllm.Error{kind: :overloaded, retryable: true}} = Assistant.ask("Hello")
  end

  @tag :capture_log
  test "the engine comes back when its worker has ended" do
    Vllm.Test.crash_worker(Assistant.Vllm)
    engine = Vllm.Test.await_engine!(Assistant.Vllm)
    Vllm.Test.reply(engine, "Hello", "Here again.")
    assert Assistant.ask("Hello") == {:ok, "Here again."}
  end
end
