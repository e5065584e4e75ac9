# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.BeamSearchSequence do
  @moduledoc """
  A sequence for beam search. It keeps track of the tokens and the log probability of the
  sequence. The text field is optional and will only be filled when the sequence is about to
  be returned to the user.

  In Python: `vllm.entrypoints.generate.beam_search.utils.BeamSearchSequence`, whose words
  these are: its `None` is `nil` here.

  ## Fields

    * `:orig_prompt` - `TokensInput or MultiModalInput or EncoderDecoderInput`.
    * `:tokens` - `list[int]`.
    * `:logprobs` - `list[dict[int, Logprob]]`.
    * `:lora_request` - `LoRARequest or None`.
    * `:cum_logprob` - `float`.
    * `:text` - `str or None`.
    * `:finish_reason` - `str or None`.
    * `:stop_reason` - `int or str or None`.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          orig_prompt: term(),
          tokens: [integer()],
          logprobs: [%{optional(integer()) => Vllm.Logprob.t()}],
          lora_request: Vllm.LoRARequest.t() | nil,
          cum_logprob: float() | :nan | :infinity | :neg_infinity,
          text: String.t() | nil,
          finish_reason: String.t() | nil,
          stop_reason: integer() | String.t() | nil,
          extra: %{optional(String.t()) => term()}
        }

  defstruct orig_prompt: nil,
            tokens: nil,
            logprobs: nil,
            lora_request: nil,
            cum_logprob: 0.0,
            text: nil,
            finish_reason: nil,
            stop_reason: nil,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
