# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.WeightTransferInitRequest do
  @moduledoc """
  API-level weight transfer initialization request.

  In Python: `vllm.distributed.weight_transfer.base.WeightTransferInitRequest`, whose words
  these are: its `None` is `nil` here. A keyword list or a map with these keys is accepted
  wherever this struct is.

  ## Fields

    * `:init_info` - `dict[str, Any]`, default `%{}`. What the backend of the transfer needs to
      start.
  """

  @type t :: %__MODULE__{
          init_info: %{optional(String.t()) => term()}
        }

  defstruct init_info: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
