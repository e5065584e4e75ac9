# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.PoolingOutput do
  @moduledoc """
  The output data of one pooling output of a request.

  In Python: `vllm.outputs.PoolingOutput`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:data` - `Tensor`. The extracted hidden states.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          data: Vllm.Tensor.t(),
          extra: %{optional(String.t()) => term()}
        }

  defstruct data: nil,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
