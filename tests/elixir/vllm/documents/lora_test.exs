defmodule Vllm.RealEngine.LoraDocumentsTest do
  # The pages of the manual that run on this engine; `Vllm.Documents` says which they are.
  use Vllm.Documents.Case, engine: :lora

  setup %{engine: engine} do
    on_exit(fn ->
      Vllm.LoraCase.unload(engine)
      assert_well(engine)
    end)
  end

  defp prepared(_page, _context), do: [path: adapters(["meow"])["meow"]]
end
