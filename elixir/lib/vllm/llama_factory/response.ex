defmodule Vllm.LlamaFactory.Response do
  @moduledoc """
  One answer of a model, as LLaMA-Factory's `Response`.

    * `response_text` - the text
    * `response_length` - how many tokens it has
    * `prompt_length` - how many tokens the prompt has
    * `finish_reason` - `"stop"`, or `"length"` where the limit of tokens ended it; vLLM has others
  """

  @enforce_keys [:response_text, :response_length, :prompt_length]
  defstruct [:response_text, :response_length, :prompt_length, :finish_reason]

  @type t :: %__MODULE__{
          response_text: String.t(),
          response_length: non_neg_integer(),
          prompt_length: non_neg_integer(),
          finish_reason: String.t() | nil
        }
end
