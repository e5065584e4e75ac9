# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ScoringOutput do
  @moduledoc """
  The output data of one scoring output of a request.

  In Python: `vllm.outputs.ScoringOutput`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:score` - `float`. The similarity score, which is a scalar value.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          score: float() | :nan | :infinity | :neg_infinity,
          extra: %{optional(String.t()) => term()}
        }

  defstruct score: nil,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
