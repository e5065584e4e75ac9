# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.PoolingBatch do
  @moduledoc """
  The outputs of a batch, each of its own shape.

  In Python: `python_worker.pooling.answers.PoolingBatch`, whose words these are: its `None`
  is `nil` here.

  ## Fields

    * `:id` - `str`. What the ids of the batch's requests in the engine begin with.
    * `:model` - `str`. The served name of the model, or the name of the adapter.
    * `:task` - `str`. What was computed.
    * `:outputs` - `list[Tensor]`. A tensor for each input, in their order: a row for each token
      with `token_embed` and `token_classify`, else one row.
    * `:prompt_tokens` - `list[int]`. How many tokens each input has.
    * `:cached_tokens` - `list[int]`. How many of them were found in the prefix cache.
    * `:usage` - `PoolingUsage`. The tokens of the whole batch.
  """

  @type t :: %__MODULE__{
          id: String.t(),
          model: String.t(),
          task: String.t(),
          outputs: [Vllm.Tensor.t()],
          prompt_tokens: [integer()],
          cached_tokens: [integer()],
          usage: Vllm.PoolingUsage.t()
        }

  defstruct id: nil,
            model: nil,
            task: nil,
            outputs: nil,
            prompt_tokens: nil,
            cached_tokens: nil,
            usage: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
