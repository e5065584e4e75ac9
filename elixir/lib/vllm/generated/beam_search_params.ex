# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.BeamSearchParams do
  @moduledoc """
  Beam search parameters for text generation.

  In Python: `vllm.sampling_params.BeamSearchParams`, whose words these are: its `None` is
  `nil` here. A keyword list or a map with these keys is accepted wherever this struct is.

  ## Fields

    * `:beam_width` - `int`, required. How many beams are kept, and how many texts are returned.
    * `:max_tokens` - `int`, required. Maximum number of tokens to generate.
    * `:ignore_eos` - `bool`, default `false`. Whether a beam goes on after the EOS token.
    * `:temperature` - `float`, default `0.0`. Controls the randomness of the sampling.
    * `:length_penalty` - `float`, default `1.0`. The score of a beam is divided by its length
      to this power.
    * `:include_stop_str_in_output` - `bool`, default `false`. Whether the stop string stays in
      the text.
    * `:structured_outputs` - `StructuredOutputsParams or None`, default `nil`. The format that
      the texts must have.
    * `:skip_special_tokens` - `bool`, default `true`. Whether the text leaves out special
      tokens.
    * `:watermarking` - `bool or None`, default `nil`. Whether the engine's watermark is
      applied. `nil` lets vLLM decide.
  """

  @type t :: %__MODULE__{
          beam_width: integer(),
          max_tokens: integer(),
          ignore_eos: boolean(),
          temperature: number(),
          length_penalty: number(),
          include_stop_str_in_output: boolean(),
          structured_outputs: Vllm.StructuredOutputsParams.t() | keyword() | map() | nil,
          skip_special_tokens: boolean(),
          watermarking: boolean() | nil
        }

  defstruct beam_width: nil,
            max_tokens: nil,
            ignore_eos: false,
            temperature: 0.0,
            length_penalty: 1.0,
            include_stop_str_in_output: false,
            structured_outputs: nil,
            skip_special_tokens: true,
            watermarking: nil
end
