# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.CompletionOutput do
  @moduledoc """
  The output data of one completion output of a request.

  In Python: `vllm.outputs.CompletionOutput`, whose words these are: its `None` is `nil` here.

  ## Fields

    * `:index` - `int`. The index of the output in the request.
    * `:text` - `str`. The generated output text.
    * `:token_ids` - `Sequence[int]`. The token IDs of the generated output text.
    * `:cumulative_logprob` - `float or None`. The cumulative log probability of the generated
      output text.
    * `:logprobs` - `list[dict[int, Logprob]] or None`. The log probabilities of the top
      probability words at each position if the logprobs are requested.
    * `:routed_experts` - `ndarray or None`. The experts each token was routed to: tokens x
      layers x experts.
    * `:finish_reason` - `str or None`. The reason why the sequence is finished.
    * `:stop_reason` - `int or str or None`. The stop string or token id that caused the
      completion to stop, None if the completion finished for some other reason including
      encountering the EOS token.
    * `:lora_request` - `LoRARequest or None`. The LoRA request that was used to generate the
      output.
    * `:sampling_mask` - `SamplingMask or None`. The post-processing token support set for each
      generated token, if requested.
    * `:spec_decode_metrics` - `RequestSpecDecodeMetrics or None`. Per-sequence
      speculative-decoding acceptance metrics, populated on finish when speculative decoding ran
      and `--per-request-spec-decode-metrics` is enabled; None otherwise. Surfaced in the
      response as `metrics.speculative_decoding` for single-sequence (`n == 1`) requests.
    * `:weight_versions` - `list[WeightVersionSpan] or None`. Contiguous weight version spans
      over output-token indexes. Set on the final output only.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          index: integer(),
          text: String.t(),
          token_ids: [integer()],
          cumulative_logprob: float() | :nan | :infinity | :neg_infinity | nil,
          logprobs: [%{optional(integer()) => Vllm.Logprob.t()}] | nil,
          routed_experts: Vllm.Tensor.t() | nil,
          finish_reason: String.t() | nil,
          stop_reason: integer() | String.t() | nil,
          lora_request: Vllm.LoRARequest.t() | nil,
          sampling_mask: Vllm.SamplingMask.t() | nil,
          spec_decode_metrics: Vllm.RequestSpecDecodeMetrics.t() | nil,
          weight_versions: [Vllm.WeightVersionSpan.t()] | nil,
          extra: %{optional(String.t()) => term()}
        }

  defstruct index: nil,
            text: nil,
            token_ids: nil,
            cumulative_logprob: nil,
            logprobs: nil,
            routed_experts: nil,
            finish_reason: nil,
            stop_reason: nil,
            lora_request: nil,
            sampling_mask: nil,
            spec_decode_metrics: nil,
            weight_versions: nil,
            extra: %{}

  @doc "Whether it has ended: `finish_reason` says why."
  @spec finished(t()) :: boolean()
  defdelegate finished(completion), to: Vllm.Core.Outputs

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
