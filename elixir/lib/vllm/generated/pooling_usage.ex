# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.PoolingUsage do
  @moduledoc """
  How many tokens a batch took.

  In Python: `python_worker.pooling.answers.PoolingUsage`, whose words these are: its `None`
  is `nil` here.

  ## Fields

    * `:prompt_tokens` - `int`. The tokens of all prompts that the engine was given.
    * `:cached_tokens` - `int`. Those of them that were found in the prefix cache.
  """

  @type t :: %__MODULE__{
          prompt_tokens: integer(),
          cached_tokens: integer()
        }

  defstruct prompt_tokens: nil,
            cached_tokens: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
