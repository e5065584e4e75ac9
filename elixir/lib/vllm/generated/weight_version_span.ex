# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.WeightVersionSpan do
  @moduledoc """
  Output tokens `[start, end)` were sampled by weights labelled `version`.

  In Python: `vllm.outputs.WeightVersionSpan`, whose words these are: its `None` is `nil`
  here.

  ## Fields

    * `:version` - `str`. Label of the weights.
    * `:start` - `int`. Index of the first token.
    * `:end` - `int`. Index after the last token.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          version: String.t(),
          start: integer(),
          end: integer(),
          extra: %{optional(String.t()) => term()}
        }

  defstruct version: nil,
            start: nil,
            end: nil,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
