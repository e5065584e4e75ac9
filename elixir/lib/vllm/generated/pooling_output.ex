# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.PoolingOutput do
  @moduledoc """
  The output data of one pooling output of a request.

  In Python: `vllm.outputs.PoolingOutput`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:data` - `Tensor`. The extracted hidden states.
  """

  @type t :: %__MODULE__{
          data: Vllm.Tensor.t()
        }

  defstruct data: nil
end
