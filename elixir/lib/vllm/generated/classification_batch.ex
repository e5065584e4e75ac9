# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ClassificationBatch do
  @moduledoc """
  The classes of a batch.

  In Python: `python_worker.pooling.answers.ClassificationBatch`, whose words these are: its
  `None` is `nil` here.

  ## Fields

    * `:id` - `str`. What the ids of the batch's requests in the engine begin with.
    * `:model` - `str`. The served name of the model, or the name of the adapter.
    * `:probs` - `Tensor`. A row for each input, with a probability for each class; the raw
      scores with `use_activation: false`.
    * `:labels` - `list[str] or None`. The names of the classes, in the order of the columns;
      None if the model has none.
    * `:prompt_tokens` - `list[int]`. How many tokens each input has.
    * `:cached_tokens` - `list[int]`. How many of them were found in the prefix cache.
    * `:usage` - `PoolingUsage`. The tokens of the whole batch.
  """

  @type t :: %__MODULE__{
          id: String.t(),
          model: String.t(),
          probs: Vllm.Tensor.t(),
          labels: [String.t()] | nil,
          prompt_tokens: [integer()],
          cached_tokens: [integer()],
          usage: Vllm.PoolingUsage.t()
        }

  defstruct id: nil,
            model: nil,
            probs: nil,
            labels: nil,
            prompt_tokens: nil,
            cached_tokens: nil,
            usage: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
