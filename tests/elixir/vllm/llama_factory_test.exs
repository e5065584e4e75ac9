defmodule Vllm.RealEngine.LlamaFactoryTest do
  # LLaMA-Factory from Elixir on a real engine: the examples of its guide, run as they stand, and a
  # stream that is left. The answers themselves are in `tests/python/vllm/test_llama_factory.py`.
  use Vllm.VllmEngine, engine: :scripted

  alias Vllm.LlamaFactory.Chat.ChatModel
  alias Vllm.TinyModel

  @guide File.read!("elixir/guides/llama_factory.md")

  setup %{engine: engine} do
    {:ok, path} = TinyModel.make(:scripted)
    {:ok, model} = ChatModel.new([model_name_or_path: path], engine: engine)
    %{path: path, model: model}
  end

  test "the examples of the guide run", %{engine: engine, path: path} do
    blocks = for [_, block] <- Regex.scan(~r/^```elixir\n(.*?)^```/ms, @guide), do: block
    # The first has a model that would be downloaded.
    {[first], others} = Enum.split_with(blocks, &(&1 =~ "Qwen/"))
    assert {:ok, _} = Code.string_to_quoted(first)
    assert length(others) > 4

    printed =
      ExUnit.CaptureIO.capture_io(fn ->
        Code.eval_string(Enum.join(others, "\n"), engine: engine, path: path)
      end)

    assert printed == hello()
  end

  test "a stream that is left ends its request", %{engine: engine, model: model} do
    opts = [temperature: 0.0, max_new_tokens: 1500]
    {:ok, stream} = ChatModel.stream_chat(model, "count", opts)
    assert [_text] = Enum.take(stream, 1)
    wait_until(fn -> unfinished(engine) == 0 end)
  end

  test "processes share a model", %{model: model} do
    1..8
    |> Enum.map(fn _ -> Task.async(fn -> ChatModel.chat(model, "Hello", temperature: 0.0) end) end)
    |> Task.await_many(:infinity)
    |> Enum.each(fn result ->
      assert {:ok, [%{response_text: text, finish_reason: "stop"}]} = result
      assert text == hello()
    end)
  end
end
