# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.PoolingParams do
  @moduledoc """
  API parameters for pooling models.

  In Python: `vllm.pooling_params.PoolingParams`, whose words these are: its `None` is `nil`
  here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:use_activation` - `bool or None`, default `nil`. Whether to apply activation function to
      the pooler outputs. `None` uses the pooler's default, which is `True` in most cases.
    * `:dimensions` - `int or None`, default `nil`. Reduce the dimensions of embeddings if model
      support matryoshka representation.
    * `:step_tag_id` - `int or None`, default `nil`. For step pooling: the token at which a step
      ends.
    * `:returned_token_ids` - `list[int] or None`, default `nil`. For step pooling: the token
      ids whose scores are returned.
    * `:task` - `PoolingTask or None`, default `nil`. What to compute. Without it a model pools
      every token by itself, so set it: `"embed"` for one vector, `"classify"` for class
      probabilities.

      The choices: `"embed"`, `"classify"`, `"token_embed"`, `"token_classify"`, `"plugin"`,
      `"embed&token_classify"`.

    * `:requires_token_ids` - `bool`, default `false`. Internal: set by vLLM from the model's
      pooler.
    * `:skip_reading_prefix_cache` - `bool or None`, default `nil`. Whether to compute the
      prompt anew. `nil` lets vLLM decide.
    * `:late_interaction_params` - `LateInteractionParams or None`, default `nil`. For
      late-interaction scoring: which query this belongs to.
    * `:extra_kwargs` - `dict[str, Any] or None`, default `nil`. Arguments for a plug-in's
      pooler.
    * `:output_kind` - `RequestOutputKind`, default `:FINAL_ONLY`. There is one output, whatever
      this says.
  """

  @type t :: %__MODULE__{
          use_activation: boolean() | nil,
          dimensions: integer() | nil,
          step_tag_id: integer() | nil,
          returned_token_ids: [integer()] | nil,
          task: String.t() | nil,
          requires_token_ids: boolean(),
          skip_reading_prefix_cache: boolean() | nil,
          late_interaction_params: Vllm.LateInteractionParams.t() | keyword() | map() | nil,
          extra_kwargs: %{optional(String.t()) => term()} | nil,
          output_kind: Vllm.RequestOutputKind.t()
        }

  defstruct use_activation: nil,
            dimensions: nil,
            step_tag_id: nil,
            returned_token_ids: nil,
            task: nil,
            requires_token_ids: false,
            skip_reading_prefix_cache: nil,
            late_interaction_params: nil,
            extra_kwargs: nil,
            output_kind: :FINAL_ONLY
end
