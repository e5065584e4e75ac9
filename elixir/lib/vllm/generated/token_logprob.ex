# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.TokenLogprob do
  @moduledoc """
  A token and how likely it was.

  In Python: `python_worker.chat.answers.TokenLogprob`, whose words these are: its `None` is
  `nil` here.

  ## Fields

    * `:token` - `str`. Its text.
    * `:token_id` - `int`. Its id.
    * `:logprob` - `float or None`. The logarithm of its probability; None where the engine did
      not say.
    * `:top` - `list[TokenLogprob]`. The most likely tokens at its place, the likeliest first.
  """

  @type t :: %__MODULE__{
          token: String.t(),
          token_id: integer(),
          logprob: float() | :nan | :infinity | :neg_infinity | nil,
          top: [Vllm.TokenLogprob.t()]
        }

  defstruct token: nil,
            token_id: nil,
            logprob: nil,
            top: []

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
