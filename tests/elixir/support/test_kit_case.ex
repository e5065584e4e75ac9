defmodule Vllm.TestKitCase do
  @moduledoc false
  # Tests of `Vllm.Test`: one worker for each module, an engine for each test.

  use ExUnit.CaseTemplate

  alias Vllm.{AsyncLLM, Stream, Tensor}

  using do
    quote do
      import Vllm.FakeWorkerCase, only: [wait_until: 1]
      import Vllm.TestKitCase

      alias Vllm.{AsyncLLM, Error, RequestOutput, SamplingParams, Stream}
      alias Vllm.Test.Request

      @moduletag :bridge

      # Here and not in the template: before 1.15 its setup_all does not see the module's tags.
      setup_all context, do: %{worker: Vllm.Test.start_worker!(context)}
      setup %{worker: worker}, do: %{engine: Vllm.Test.engine!(worker)}
    end
  end

  ## Requests

  def generate(engine, prompt, params \\ [], opts \\ []) do
    AsyncLLM.generate(engine, prompt, params, "r-#{System.unique_integer([:positive])}", opts)
  end

  # A deadline may come before the stream does.
  def collect(engine, prompt, params \\ [], opts \\ []) do
    with {:ok, stream} <- generate(engine, prompt, params, opts), do: Stream.collect(stream)
  end

  def texts(engine, prompt, params \\ []) do
    {:ok, stream} = generate(engine, prompt, params ++ [output_kind: :DELTA])
    for %{outputs: [completion]} <- stream, do: completion.text
  end

  def until_error(engine, prompt, params \\ []) do
    params = params ++ [output_kind: :DELTA]
    {:ok, stream} = AsyncLLM.generate(engine, prompt, params, "r", rpc: [stream_to: self()])
    received(stream, [])
  end

  defp received(stream, texts) when is_struct(stream, Stream) do
    receive do
      {:vllm, ^stream, {:item, %{outputs: [%{text: text}]}}} ->
        received(stream, [text | texts])

      {:vllm, ^stream, {:error, error}} ->
        {Enum.reverse(texts), error}

      {:vllm, ^stream, :done} ->
        flunk("it ended well after #{inspect(Enum.reverse(texts))}")
    end
  end

  def embedding(engine, prompt) do
    {:ok, stream} = AsyncLLM.encode(engine, prompt, [], "e")
    [%{outputs: %{data: tensor}}] = Enum.to_list(stream)
    Tensor.to_list(tensor)
  end

  def flunks(pattern, fun), do: assert_raise(ExUnit.AssertionError, pattern, fun)
end
