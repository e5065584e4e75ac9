# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ChatDelta do
  @moduledoc """
  What is new of one choice.

  In Python: `python_worker.chat.answers.ChatDelta`, whose words these are: its `None` is
  `nil` here.

  ## Fields

    * `:id` - `str`. Names the request in the engine.
    * `:index` - `int`. The number of the choice.
    * `:role` - `str or None`. With the first delta of a choice.
    * `:content` - `str or None`. The next characters of the text.
    * `:reasoning` - `str or None`. The next characters of the reasoning.
    * `:tool_calls` - `list[ToolCallDelta]`. What is new of the tool calls.
    * `:finish_reason` - `str or None`. With the last delta of a choice; see `ChatChoice`.
    * `:stop_reason` - `int or str or None`. The stop string or token id that ended the choice,
      if one did.
    * `:logprobs` - `list[TokenLogprob] or None`. Of the tokens of this delta; None unless
      `logprobs` was true.
    * `:token_ids` - `list[int] or None`. The tokens of this delta; None unless
      `return_token_ids` was true.
    * `:usage` - `ChatUsage or None`. With the last delta of the last choice.
  """

  @type t :: %__MODULE__{
          id: String.t(),
          index: integer(),
          role: String.t() | nil,
          content: String.t() | nil,
          reasoning: String.t() | nil,
          tool_calls: [Vllm.ToolCallDelta.t()],
          finish_reason: String.t() | nil,
          stop_reason: integer() | String.t() | nil,
          logprobs: [Vllm.TokenLogprob.t()] | nil,
          token_ids: [integer()] | nil,
          usage: Vllm.ChatUsage.t() | nil
        }

  defstruct id: nil,
            index: nil,
            role: nil,
            content: nil,
            reasoning: nil,
            tool_calls: [],
            finish_reason: nil,
            stop_reason: nil,
            logprobs: nil,
            token_ids: nil,
            usage: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
