# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.LateInteractionParams do
  @moduledoc """
  Metadata for worker-side late-interaction scoring.

  In Python: `vllm.pooling_params.LateInteractionParams`, whose words these are: its `None` is
  `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:mode` - `str`, required.

      - "cache_query": cache query token embeddings
      - "score_doc": score a document against a cached query.

    * `:query_key` - `str`, required. stable key used for both DP routing and worker cache
      lookup.
    * `:query_uses` - `int or None`, default `nil`. expected number of document requests
  """

  @type t :: %__MODULE__{
          mode: String.t(),
          query_key: String.t(),
          query_uses: integer() | nil
        }

  defstruct mode: nil,
            query_key: nil,
            query_uses: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
