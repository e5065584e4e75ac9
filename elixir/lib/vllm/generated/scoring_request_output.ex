# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ScoringRequestOutput do
  @moduledoc """
  The output data of a scoring request.

  In Python: `vllm.outputs.ScoringRequestOutput`, whose words these are: its `None` is `nil`
  here.

  ## Fields

    * `:request_id` - `str`. A unique identifier for the pooling request.
    * `:outputs` - `ScoringOutput`. The pooling results for the given input.
    * `:prompt_token_ids` - `list[int]`. A list of token IDs used in the prompt.
    * `:num_cached_tokens` - `int`. The number of tokens with prefix cache hit.
    * `:finished` - `bool`. A flag indicating whether the pooling is completed.
    * `:error` - `RequestError or None`. Structured request-level error information, if the
      request failed.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          request_id: String.t(),
          outputs: Vllm.ScoringOutput.t(),
          prompt_token_ids: [integer()],
          num_cached_tokens: integer(),
          finished: boolean(),
          error: Vllm.RequestError.t() | nil,
          extra: %{optional(String.t()) => term()}
        }

  defstruct request_id: nil,
            outputs: nil,
            prompt_token_ids: nil,
            num_cached_tokens: nil,
            finished: nil,
            error: nil,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
