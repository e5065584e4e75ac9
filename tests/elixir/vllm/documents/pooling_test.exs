defmodule Vllm.RealEngine.PoolingDocumentsTest do
  # The pages of the manual that run on this engine; `Vllm.Documents` says which they are.
  use Vllm.Documents.Case, engine: :embed, also: [classifier: :classify]

  defp prepared(_page, context), do: [embedder: context.engine, classifier: context.classifier]
end
