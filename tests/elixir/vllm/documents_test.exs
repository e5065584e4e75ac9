# The pages of the manual whose examples need a real engine run here: a module for each engine, because an
# engine ends with the last module that uses it. `Vllm.Documents` says which page needs which.

defmodule Vllm.RealEngine.DocumentsTest do
  # The README and the first steps, as a reader types them: on the default instance.
  use Vllm.VllmEngine

  alias Vllm.Documents
  alias Vllm.Documents.Runner

  if reason = unavailable(:chat), do: @moduletag(skip: reason)

  setup_all do
    put_environment()
    on_exit(fn -> DynamicSupervisor.terminate_child(Vllm.DefaultSupervisor, default()) end)
  end

  for page <- Documents.on(:default) do
    test "the examples of #{page} run" do
      Runner.run(unquote(page), :default, [])
    end
  end

  defp default, do: Process.whereis(Vllm.Default) || self()
end

defmodule Vllm.RealEngine.ChatDocumentsTest do
  use Vllm.Documents.Case, engine: :chat

  defp prepared(_page, _context), do: []
end

defmodule Vllm.RealEngine.PoolingDocumentsTest do
  use Vllm.Documents.Case, engine: :embed, also: [classifier: :classify]

  defp prepared(_page, context), do: [embedder: context.engine, classifier: context.classifier]
end

defmodule Vllm.RealEngine.LoraDocumentsTest do
  use Vllm.Documents.Case, engine: :lora

  setup %{engine: engine} do
    on_exit(fn ->
      Vllm.LoraCase.unload(engine)
      assert_well(engine)
    end)
  end

  defp prepared(_page, _context), do: [path: adapters(["meow"])["meow"]]
end

defmodule Vllm.RealEngine.ImageDocumentsTest do
  use Vllm.Documents.Case, engine: :sees

  defp prepared(_page, _context), do: []
end

defmodule Vllm.RealEngine.ScriptedDocumentsTest do
  use Vllm.Documents.Case, engine: :scripted

  defp prepared(_page, _context), do: []
end
