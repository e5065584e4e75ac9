defmodule Vllm.PromptType do
  @moduledoc """
  What can be a prompt: vLLM's `PromptType`, a name for a type.

      "The capital of France is"
      [1, 15043]
      %Vllm.TextPrompt{prompt: "The capital of France is"}
      %Vllm.TokensPrompt{prompt_token_ids: [1, 15043], cache_salt: "tenant-7"}
      %{prompt: "What is this? <image>", multi_modal_data: %{image: image}}
  """

  @typedoc "A text, token ids, or a struct or map of the classes of this name."
  @type t ::
          String.t()
          | [non_neg_integer()]
          | Vllm.TextPrompt.t()
          | Vllm.TokensPrompt.t()
          | Vllm.EmbedsPrompt.t()
          | Vllm.ExplicitEncoderDecoderPrompt.t()
          | map()
end
