defmodule Vllm.Mellea.Result do
  @moduledoc """
  The text that `Vllm.Mellea.instruct/3` returns.

    * `value` - the text
    * `success` - whether it meets all requirements; `true` where nobody checks
    * `samples` - the texts that were tried, each with the `Vllm.Mellea.ValidationResult`s of it; `[]`
      without a strategy
    * `tool_calls` - the calls in the text by the tool's name, or `nil`
    * `thunk` - the text as an object of the worker, for its log or as a turn of a context
  """

  defstruct [:value, :success, :tool_calls, :thunk, samples: []]

  @type t :: %__MODULE__{
          value: String.t(),
          success: boolean(),
          samples: [%{value: String.t(), validations: [Vllm.Mellea.ValidationResult.t()]}],
          tool_calls: %{String.t() => Vllm.Mellea.ToolCall.t()} | nil,
          thunk: Vllm.Ref.t()
        }
end
