# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.Gauge do
  @moduledoc """
  A numerical value that can go up or down.

  In Python: `vllm.v1.metrics.reader.Gauge`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:name` - `str`.
    * `:labels` - `dict[str, str]`.
    * `:value` - `float`.
  """

  @type t :: %__MODULE__{
          name: String.t(),
          labels: %{optional(String.t()) => String.t()},
          value: float() | :nan | :infinity | :neg_infinity
        }

  defstruct name: nil,
            labels: nil,
            value: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
