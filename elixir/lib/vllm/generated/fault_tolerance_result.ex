# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.FaultToleranceResult do
  @moduledoc """
  What became of an instruction for engines with fault tolerance.

  In Python: `vllm.v1.fault_tolerance.utils.FaultToleranceResult`, whose words these are: its
  `None` is `nil` here. A keyword list or a map with these keys is accepted wherever this
  struct is.

  ## Fields

    * `:request_id` - `str`, required. That of the instruction.
    * `:success` - `bool`, required. Whether it was carried out.
    * `:reason` - `str or None`, default `nil`. Why not.
  """

  @type t :: %__MODULE__{
          request_id: String.t(),
          success: boolean(),
          reason: String.t() | nil
        }

  defstruct request_id: nil,
            success: nil,
            reason: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
