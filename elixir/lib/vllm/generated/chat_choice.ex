# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ChatChoice do
  @moduledoc """
  One of the answers to a request, which has `n` of them.

  In Python: `python_worker.chat.answers.ChatChoice`, whose words these are: its `None` is
  `nil` here.

  ## Fields

    * `:index` - `int`. Its number, from 0.
    * `:message` - `ChatMessage`. The model's message.
    * `:finish_reason` - `str`. `stop`, `length`, `tool_calls` or `abort`.
    * `:stop_reason` - `int or str or None`. The stop string or token id that ended it, if one
      did.
    * `:logprobs` - `list[TokenLogprob] or None`. One entry for each token; None unless
      `logprobs` was true.
    * `:token_ids` - `list[int] or None`. The tokens; None unless `return_token_ids` was true.
  """

  @type t :: %__MODULE__{
          index: integer(),
          message: Vllm.ChatMessage.t(),
          finish_reason: String.t(),
          stop_reason: integer() | String.t() | nil,
          logprobs: [Vllm.TokenLogprob.t()] | nil,
          token_ids: [integer()] | nil
        }

  defstruct index: nil,
            message: nil,
            finish_reason: nil,
            stop_reason: nil,
            logprobs: nil,
            token_ids: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
