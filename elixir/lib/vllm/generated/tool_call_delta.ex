# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ToolCallDelta do
  @moduledoc """
  What is new of a tool call.

  In Python: `python_worker.chat.answers.ToolCallDelta`, whose words these are: its `None` is
  `nil` here.

  ## Fields

    * `:index` - `int`. Which of the choice's tool calls it belongs to, from 0.
    * `:id` - `str or None`. Of the call, with its first part.
    * `:name` - `str or None`. Of the function, with its first part.
    * `:arguments_json` - `str or None`. The next characters of the arguments.
  """

  @type t :: %__MODULE__{
          index: integer(),
          id: String.t() | nil,
          name: String.t() | nil,
          arguments_json: String.t() | nil
        }

  defstruct index: nil,
            id: nil,
            name: nil,
            arguments_json: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
