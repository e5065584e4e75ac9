# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ScoreBatch do
  @moduledoc """
  How well queries and documents fit each other, pair by pair.

  In Python: `python_worker.pooling.answers.ScoreBatch`, whose words these are: its `None` is
  `nil` here.

  ## Fields

    * `:id` - `str`. What the ids of the batch's requests in the engine begin with.
    * `:model` - `str`. The served name of the model, or the name of the adapter.
    * `:scores` - `Tensor`. A number for each pair: the cosine of two embeddings, or what a
      cross-encoder says.
    * `:prompt_tokens` - `list[int]`. How many tokens each pair has, as vLLM counts them: where
      the two are embedded by themselves, a query counts in each of its pairs, and a separator
      with it.
    * `:cached_tokens` - `list[int]`. How many of them were found in the prefix cache.
    * `:usage` - `PoolingUsage`. The tokens of all requests; a query that is embedded once
      counts once.
  """

  @type t :: %__MODULE__{
          id: String.t(),
          model: String.t(),
          scores: Vllm.Tensor.t(),
          prompt_tokens: [integer()],
          cached_tokens: [integer()],
          usage: Vllm.PoolingUsage.t()
        }

  defstruct id: nil,
            model: nil,
            scores: nil,
            prompt_tokens: nil,
            cached_tokens: nil,
            usage: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
