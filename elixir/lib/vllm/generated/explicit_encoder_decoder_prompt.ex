# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.ExplicitEncoderDecoderPrompt do
  @moduledoc """
  Schema for a pair of encoder and decoder singleton prompts.

  Note: This schema is not valid for decoder-only models.

  In Python: `vllm.inputs.llm.ExplicitEncoderDecoderPrompt`, whose words these are: its `None`
  is `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:encoder_prompt` - `str or TextPrompt or list[int] or TokensPrompt`, required. The prompt
      for the encoder part of the model.
    * `:decoder_prompt` - `str or TextPrompt or list[int] or TokensPrompt or None`, required.
      The prompt for the decoder part of the model.

      Passing `None` will cause the prompt to be inferred automatically.
  """

  @type t :: %__MODULE__{
          encoder_prompt:
            String.t()
            | Vllm.TextPrompt.t()
            | keyword()
            | map()
            | [integer()]
            | Vllm.TokensPrompt.t(),
          decoder_prompt:
            String.t()
            | Vllm.TextPrompt.t()
            | keyword()
            | map()
            | [integer()]
            | Vllm.TokensPrompt.t()
            | nil
        }

  defstruct encoder_prompt: nil,
            decoder_prompt: nil

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
