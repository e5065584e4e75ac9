# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.FaultToleranceRequest do
  @moduledoc """
  An instruction for engines that run with fault tolerance.

  In Python: `vllm.v1.fault_tolerance.utils.FaultToleranceRequest`, whose words these are: its
  `None` is `nil` here. A keyword list or a map with these keys is accepted wherever this
  struct is.

  ## Fields

    * `:instruction` - `str`, required. What to do.
    * `:params` - `dict[str, Any]`, required. Arguments of the instruction.
    * `:request_id` - `str`, default `""`. Comes back with the result.
  """

  @type t :: %__MODULE__{
          instruction: String.t(),
          params: %{optional(String.t()) => term()},
          request_id: String.t()
        }

  defstruct instruction: nil,
            params: nil,
            request_id: ""

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
