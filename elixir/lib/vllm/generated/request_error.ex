# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.RequestError do
  @moduledoc """
  A request-level error that does not mark the engine as unhealthy.

  In Python: `vllm.outputs.RequestError`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:code` - `str`. What went wrong, as a short code.
    * `:message` - `str`. What went wrong, for a person.
    * `:retryable` - `bool`. Whether the same request may succeed later.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          code: String.t(),
          message: String.t(),
          retryable: boolean(),
          extra: %{optional(String.t()) => term()}
        }

  defstruct code: nil,
            message: nil,
            retryable: false,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
