# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.WeightTransferUpdateRequest do
  @moduledoc """
  API-level weight update request.

  In Python: `vllm.distributed.weight_transfer.base.WeightTransferUpdateRequest`, whose words
  these are: its `None` is `nil` here. A keyword list or a map with these keys is accepted
  wherever this struct is.

  ## Fields

    * `:update_info` - `dict[str, Any] or list[dict[str, Any]]`, default `%{}`. Which weights
      the backend should transfer.
  """

  @type t :: %__MODULE__{
          update_info: %{optional(String.t()) => term()} | [%{optional(String.t()) => term()}]
        }

  defstruct update_info: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
