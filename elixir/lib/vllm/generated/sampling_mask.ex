# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.SamplingMask do
  @moduledoc """
  Per-token sampling support sets aligned with completion token IDs.

  Each inner list contains the vocabulary token IDs that survived top-k / top-p / min-p
  filtering for the corresponding generated token.

  In Python: `vllm.outputs.SamplingMask`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:token_ids` - `list[list[int]]`. The token ids that survived, for each generated token.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          token_ids: [[integer()]],
          extra: %{optional(String.t()) => term()}
        }

  defstruct token_ids: nil,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
