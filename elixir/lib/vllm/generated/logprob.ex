# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.Logprob do
  @moduledoc """
  Infos for supporting OpenAI compatible logprobs and token ranks.

  In Python: `vllm.logprobs.Logprob`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:logprob` - `float`. The logprob of chosen token
    * `:rank` - `int or None`. The vocab rank of chosen token (>=1)
    * `:decoded_token` - `str or None`. The decoded chosen token index
  """

  @type t :: %__MODULE__{
          logprob: float() | :nan | :infinity | :neg_infinity,
          rank: integer() | nil,
          decoded_token: String.t() | nil
        }

  defstruct logprob: nil,
            rank: nil,
            decoded_token: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
