# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.RequestOutput do
  @moduledoc """
  The output data of a completion request to the LLM.

  In Python: `vllm.outputs.RequestOutput`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:request_id` - `str`. The unique ID of the request.
    * `:prompt` - `str or None`. The prompt string of the request. For encoder/decoder models,
      this is the decoder input prompt.
    * `:prompt_token_ids` - `list[int] or None`. The token IDs of the prompt. For
      encoder/decoder models, this is the decoder input prompt token ids.
    * `:prompt_logprobs` - `list[dict[int, Logprob] or None] or None`. The log probabilities to
      return per prompt token.
    * `:outputs` - `list[CompletionOutput]`. The output sequences of the request.
    * `:finished` - `bool`. Whether the whole request is finished.
    * `:metrics` - `RequestStateStats or None`. Metrics associated with the request.
    * `:lora_request` - `LoRARequest or None`. The LoRA request that was used to generate the
      output.
    * `:encoder_prompt` - `str or None`. The encoder prompt string of the request. None if
      decoder-only.
    * `:encoder_prompt_token_ids` - `list[int] or None`. The token IDs of the encoder prompt.
      None if decoder-only.
    * `:num_cached_tokens` - `int or None`. The number of tokens with prefix cache hit.
    * `:num_cache_creation_tokens` - `int or None`. Prompt tokens currently counted as local
      prefix-cache writes for this request.
    * `:prompt_token_id_logprobs` - `ndarray or None`. Logprobs of prompt_logprob_token_ids,
      shaped [prompt_len - 1 - prompt_logprob_start, num_ids]; row i holds the logprobs of its
      own IDs as predictions of prompt token prompt_logprob_start + i + 1, with -inf in padded
      columns.
    * `:kv_transfer_params` - `dict[str, Any] or None`. The params for remote K/V transfer.
    * `:ec_transfer_params` - `dict[str, Any] or None`. The params for remote encoder-cache
      transfer.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          request_id: String.t(),
          prompt: String.t() | nil,
          prompt_token_ids: [integer()] | nil,
          prompt_logprobs: [%{optional(integer()) => Vllm.Logprob.t()} | nil] | nil,
          outputs: [Vllm.CompletionOutput.t()],
          finished: boolean(),
          metrics: Vllm.RequestStateStats.t() | nil,
          lora_request: Vllm.LoRARequest.t() | nil,
          encoder_prompt: String.t() | nil,
          encoder_prompt_token_ids: [integer()] | nil,
          num_cached_tokens: integer() | nil,
          num_cache_creation_tokens: integer() | nil,
          prompt_token_id_logprobs: Vllm.Tensor.t() | nil,
          kv_transfer_params: %{optional(String.t()) => term()} | nil,
          ec_transfer_params: %{optional(String.t()) => term()} | nil,
          extra: %{optional(String.t()) => term()}
        }

  defstruct request_id: nil,
            prompt: nil,
            prompt_token_ids: nil,
            prompt_logprobs: nil,
            outputs: nil,
            finished: nil,
            metrics: nil,
            lora_request: nil,
            encoder_prompt: nil,
            encoder_prompt_token_ids: nil,
            num_cached_tokens: nil,
            num_cache_creation_tokens: nil,
            prompt_token_id_logprobs: nil,
            kv_transfer_params: nil,
            ec_transfer_params: nil,
            extra: %{}

  @doc """
  Merges the next item of the request into this one, as Python's `add` does.

  With `aggregate` texts, token ids and logprobs are appended: so the items of a `DELTA` stream
  become the whole output. Without, each completion of `next` replaces the one before.

      {:ok, stream} = Vllm.AsyncLLM.generate(engine, "Hello", [output_kind: :DELTA], "r1")
      whole = Enum.reduce(stream, &Vllm.RequestOutput.add(&2, &1, true))
  """
  @spec add(t(), t(), boolean()) :: t()
  defdelegate add(output, next, aggregate), to: Vllm.Core.Outputs

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
