# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.EmbeddingOutput do
  @moduledoc """
  The output data of one embedding output of a request.

  In Python: `vllm.outputs.EmbeddingOutput`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:embedding` - `list[float]`. The embedding vector, which is a list of floats. Its length
      depends on the hidden dimension of the model.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          embedding: [float() | :nan | :infinity | :neg_infinity],
          extra: %{optional(String.t()) => term()}
        }

  defstruct embedding: nil,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
