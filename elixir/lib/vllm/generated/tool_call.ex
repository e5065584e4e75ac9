# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ToolCall do
  @moduledoc """
  A function that the model wants called.

  In Python: `python_worker.chat.answers.ToolCall`, whose words these are: its `None` is `nil`
  here.

  ## Fields

    * `:id` - `str`. Names the call; the answer to it repeats it.
    * `:name` - `str`. The name of the function.
    * `:arguments` - `dict[str, Any] or None`. Its arguments by name; None where the model's
      text is no JSON object.
    * `:arguments_json` - `str`. The arguments as the model wrote them.
  """

  @type t :: %__MODULE__{
          id: String.t(),
          name: String.t(),
          arguments: %{optional(String.t()) => term()} | nil,
          arguments_json: String.t()
        }

  defstruct id: nil,
            name: nil,
            arguments: nil,
            arguments_json: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
