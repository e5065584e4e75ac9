defmodule Vllm.Core.Outputs do
  @moduledoc false
  # What vLLM's output classes do, on structs. The structs are generated; they delegate to this module.

  @doc "Merges the next item of a request into this one, as vLLM's `RequestOutput.add` does."
  @spec add(Vllm.RequestOutput.t(), Vllm.RequestOutput.t(), boolean()) :: Vllm.RequestOutput.t()
  def add(output, next, aggregate) when is_boolean(aggregate) do
    %{
      output
      | finished: output.finished or next.finished,
        kv_transfer_params: next.kv_transfer_params,
        ec_transfer_params: next.ec_transfer_params,
        outputs: Enum.reduce(next.outputs, output.outputs, &add_completion(&2, &1, aggregate))
    }
  end

  @doc "Whether a completion has ended."
  @spec finished(Vllm.CompletionOutput.t()) :: boolean()
  def finished(completion), do: completion.finish_reason != nil

  defp add_completion([%{index: index} = completion | rest], %{index: index} = next, true),
    do: [join(completion, next) | rest]

  defp add_completion([%{index: index} | rest], %{index: index} = next, false), do: [next | rest]

  defp add_completion([completion | rest], next, aggregate),
    do: [completion | add_completion(rest, next, aggregate)]

  defp add_completion([], next, _aggregate), do: [next]

  # What comes with the last item only replaces what was there, also by nothing.
  defp join(completion, next) do
    %{
      completion
      | text: completion.text <> next.text,
        token_ids: completion.token_ids ++ next.token_ids,
        logprobs: joined(completion.logprobs, next.logprobs),
        sampling_mask: joined_mask(completion.sampling_mask, next.sampling_mask),
        spec_decode_metrics: next.spec_decode_metrics || completion.spec_decode_metrics,
        cumulative_logprob: next.cumulative_logprob,
        routed_experts: next.routed_experts || completion.routed_experts,
        weight_versions: next.weight_versions,
        finish_reason: next.finish_reason,
        stop_reason: next.stop_reason,
        extra: Map.merge(completion.extra, next.extra)
    }
  end

  defp joined(logprobs, more) when more in [nil, []], do: logprobs
  defp joined(logprobs, more), do: (logprobs || []) ++ more

  defp joined_mask(mask, nil), do: mask
  defp joined_mask(nil, mask), do: mask
  defp joined_mask(mask, more), do: %{mask | token_ids: mask.token_ids ++ more.token_ids}
end
