defmodule Vllm.RealEngine.ChatDocumentsTest do
  # The pages of the manual that run on this engine; `Vllm.Documents` says which they are.
  use Vllm.Documents.Case, engine: :chat

  alias Vllm.Mellea.Backends.LocalVLLMBackend

  defp prepared("mellea.md", %{engine: engine}) do
    {:ok, backend} = LocalVLLMBackend.new("smol", engine: engine)
    {:ok, session} = Vllm.Mellea.start_session(backend)
    [backend: backend, session: session]
  end

  defp prepared(_page, _context), do: []
end
