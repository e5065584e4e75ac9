# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ChatUsage do
  @moduledoc """
  How many tokens a request took.

  In Python: `python_worker.chat.answers.ChatUsage`, whose words these are: its `None` is
  `nil` here.

  ## Fields

    * `:prompt_tokens` - `int`. The tokens of the rendered prompt.
    * `:completion_tokens` - `int`. The tokens of all choices.
    * `:total_tokens` - `int`. Both together.
    * `:cached_tokens` - `int or None`. The prompt's tokens that were found in the prefix cache.
    * `:reasoning_tokens` - `int or None`. Those of the completion that are reasoning; None
      without a parser.
  """

  @type t :: %__MODULE__{
          prompt_tokens: integer(),
          completion_tokens: integer(),
          total_tokens: integer(),
          cached_tokens: integer() | nil,
          reasoning_tokens: integer() | nil
        }

  defstruct prompt_tokens: nil,
            completion_tokens: nil,
            total_tokens: nil,
            cached_tokens: nil,
            reasoning_tokens: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
