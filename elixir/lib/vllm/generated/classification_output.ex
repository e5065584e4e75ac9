# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ClassificationOutput do
  @moduledoc """
  The output data of one classification output of a request.

  In Python: `vllm.outputs.ClassificationOutput`, whose words these are: its `None` is `nil`
  here.

  ## Fields

    * `:probs` - `list[float]`. The probability vector, which is a list of floats. Its length
      depends on the number of classes.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          probs: [float() | :nan | :infinity | :neg_infinity],
          extra: %{optional(String.t()) => term()}
        }

  defstruct probs: nil,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
