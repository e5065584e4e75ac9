defmodule Vllm.Inference.GenerationResult do
  @moduledoc """
  A text that a provider has generated; see `Vllm.Inference.generate/4`.

    * `text` - the text, without the prompt
    * `model` - the model that wrote it, by the name that the provider has for it
    * `adapter_id` - the adapter that was used, or `nil`
    * `token_count` - how many tokens prompt and text have together; 0 where a server did not say
    * `finish_reason` - `"stop"`, or `"length"` where the limit of tokens ended it
  """

  @enforce_keys [:text, :model]
  defstruct [:text, :model, :adapter_id, token_count: 0, finish_reason: "stop"]

  @type t :: %__MODULE__{
          text: String.t(),
          model: String.t(),
          adapter_id: String.t() | nil,
          token_count: non_neg_integer(),
          finish_reason: String.t()
        }
end
