defmodule Vllm.Mellea.GenerateLog do
  @moduledoc """
  What was asked of the model, and what it answered.

  `prompt` is the list of messages, or the text of `generate_from_raw`; `extra` has the format, the
  names of the tools that were offered and called, and the seed.
  """

  defstruct [
    :prompt,
    :backend,
    :model_options,
    :date,
    :model_output,
    :extra,
    :is_final_result,
    :usage,
    :finish_reasons
  ]

  @type t :: %__MODULE__{
          prompt: String.t() | [map()],
          backend: String.t(),
          model_options: map(),
          date: String.t(),
          model_output: String.t(),
          extra: map(),
          is_final_result: boolean(),
          usage: map() | nil,
          finish_reasons: [String.t()] | nil
        }
end
