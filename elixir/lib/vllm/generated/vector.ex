# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.Vector do
  @moduledoc """
  An ordered array of integer counters.

  This type - which doesn't exist in Prometheus - models one very specific metric,
  vllm:spec_decode_num_accepted_tokens_per_pos.

  In Python: `vllm.v1.metrics.reader.Vector`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:name` - `str`.
    * `:labels` - `dict[str, str]`.
    * `:values` - `list[int]`.
  """

  @type t :: %__MODULE__{
          name: String.t(),
          labels: %{optional(String.t()) => String.t()},
          values: [integer()]
        }

  defstruct name: nil,
            labels: nil,
            values: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
