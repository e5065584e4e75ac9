# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.FaultToleranceRequest do
  @moduledoc """
  FaultToleranceRequest.

  In Python: `vllm.v1.fault_tolerance.utils.FaultToleranceRequest`, whose words these are: its
  `None` is `nil` here. A keyword list or a map with these keys is accepted wherever this
  struct is.

  ## Fields

    * `:instruction` - `str`, required.
    * `:params` - `dict[str, Any]`, required.
    * `:request_id` - `str`, default `""`.
  """

  @type t :: %__MODULE__{
          instruction: String.t(),
          params: %{optional(String.t()) => term()},
          request_id: String.t()
        }

  defstruct instruction: nil,
            params: nil,
            request_id: ""
end
