# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.Histogram do
  @moduledoc """
  Observations recorded in configurable buckets.

  Buckets are represented by a dictionary. The key is the upper limit of the bucket, and the
  value is the observed count in that bucket. A '+Inf' key always exists.

  The count property is the total count across all buckets, identical to the count of the
  '+Inf' bucket.

  The sum property is the total sum of all observed values.

  In Python: `vllm.v1.metrics.reader.Histogram`, whose words these are: its `None` is `nil`
  here.

  ## Fields

    * `:name` - `str`.
    * `:labels` - `dict[str, str]`.
    * `:count` - `int`.
    * `:sum` - `float`.
    * `:buckets` - `dict[str, int]`.
  """

  @type t :: %__MODULE__{
          name: String.t(),
          labels: %{optional(String.t()) => String.t()},
          count: integer(),
          sum: float() | :nan | :infinity | :neg_infinity,
          buckets: %{optional(String.t()) => integer()}
        }

  defstruct name: nil,
            labels: nil,
            count: nil,
            sum: nil,
            buckets: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
