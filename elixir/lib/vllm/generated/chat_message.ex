# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ChatMessage do
  @moduledoc """
  A message of the model's.

  In Python: `python_worker.chat.answers.ChatMessage`, whose words these are: its `None` is
  `nil` here.

  ## Fields

    * `:role` - `str`. `assistant`, or the role of the message that was continued.
    * `:content` - `str or None`. The text; None where there are only tool calls or reasoning.
    * `:reasoning` - `str or None`. What the reasoning parser took for reasoning.
    * `:tool_calls` - `list[ToolCall]`. The functions to call.
    * `:parsed` - `Any`. The value of the content, where `response_format` asked for JSON; None
      where the content is none, for example because it was cut off.
  """

  @type t :: %__MODULE__{
          role: String.t(),
          content: String.t() | nil,
          reasoning: String.t() | nil,
          tool_calls: [Vllm.ToolCall.t()],
          parsed: term()
        }

  defstruct role: nil,
            content: nil,
            reasoning: nil,
            tool_calls: [],
            parsed: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
