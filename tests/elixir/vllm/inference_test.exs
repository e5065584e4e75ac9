defmodule Vllm.RealEngine.InferenceTest do
  # Providers with real models beside a real engine, and the examples of the guide.
  use Vllm.VllmEngine, engine: :lora

  alias Vllm.{Environment, Inference, TinyModel}
  alias Vllm.Inference.{AsyncLLMProvider, GenerationResult, LlamaCppProvider}
  alias Vllm.Inference.TransformersProvider

  @moduletag tmp_dir: true

  @guide File.read!("elixir/guides/providers.md")
  @hello " from a scripted Llama, token by token"

  setup do
    %{on: [instance: instance()]}
  end

  test "every provider says what the model says", %{engine: engine, on: on, tmp_dir: dir} do
    {:ok, model} = TinyModel.make(:scripted)
    gguf = gguf(model, Path.join(dir, "scripted.gguf"))
    {:ok, own} = AsyncLLMProvider.new(engine)
    {:ok, llama_cpp} = LlamaCppProvider.new([model_path: gguf, n_ctx: 1024] ++ on)
    {:ok, transformers} = TransformersProvider.new([model_name: model] ++ on)

    for provider <- [own, llama_cpp, transformers] do
      assert {:ok, %GenerationResult{text: @hello, adapter_id: nil, finish_reason: "stop"}} =
               Inference.generate(provider, "Hello", "", temperature: 0)

      assert {:ok, %GenerationResult{text: " from a", finish_reason: "length"}} =
               Inference.generate(provider, "Hello", "", temperature: 0, max_tokens: 2)
    end

    assert_well(engine)
  end

  test "a caller that ends takes its texts along", %{engine: engine} do
    {:ok, provider} = AsyncLLMProvider.new(engine)
    test = self()

    caller =
      spawn(fn ->
        send(test, :asking)
        Inference.generate(provider, "count", "", max_tokens: 2000, temperature: 0)
      end)

    assert_receive :asking
    Process.exit(caller, :kill)
    wait_until(fn -> unfinished(engine) == 0 end)
    assert_well(engine)
  end

  # That of the factory is run in the lane `bridge`.
  test "the examples of the guide run", %{engine: engine} do
    {:ok, adapter} = TinyModel.adapter("meow")
    [first, _factory, adapters] = blocks()
    {_value, bindings} = Code.eval_string(first, [engine: engine], __ENV__)
    assert byte_size(bindings[:text]) > 0

    {:ok, provider} = AsyncLLMProvider.new(engine)
    Code.eval_string(adapters, [provider: provider, path: adapter], __ENV__)
    assert_well(engine)
  end

  defp blocks do
    for [_, block] <- Regex.scan(~r/^```elixir\n(.*?)^```/ms, @guide), do: block
  end

  defp gguf(folder, file) do
    {:ok, python} = Environment.python()

    {_said, 0} =
      System.cmd(
        python,
        ["-m", "python_worker.testing.models.gguf_twin", folder, file],
        env: [{"PYTHONPATH", File.cwd!()}]
      )

    file
  end
end
