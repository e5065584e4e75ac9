defmodule Vllm.Core.Telemetry.Usage do
  @moduledoc false
  # What the answer of a request says of it: tokens, why it ended, and the engine's times. Never a text.
  #
  # It is read once, when a request has ended, from the last item of its stream or from the result of
  # its call. Nothing is counted while tokens arrive.

  alias Vllm.{ChatCompletion, ChatDelta, RequestOutput, RequestStateStats}

  @type t :: {measurements :: map(), metadata :: map()}

  @unknown %{response_model: nil, finish_reasons: []}

  @doc """
  What an answer says. `whole?` tells that the completions hold all of their tokens: not with the last
  of several items, which may be what was new in it.
  """
  @spec of(term(), boolean()) :: t()
  def of(answer, whole? \\ true)

  def of(%RequestOutput{outputs: completions} = output, whole?) when is_list(completions) do
    measurements =
      output
      |> input()
      |> Map.merge(output_tokens(output, whole?))
      |> Map.merge(engine_times(output))

    {measurements, %{response_model: adapter(output), finish_reasons: reasons(completions)}}
  end

  def of(%ChatCompletion{usage: %{} = usage, choices: choices, model: model}, _whole?)
      when is_list(choices),
      do: {tokens(usage), %{response_model: named(model), finish_reasons: reasons(choices)}}

  # The last one has the tokens of all choices.
  def of(%ChatDelta{usage: %{} = usage, finish_reason: reason}, _whole?),
    do: {tokens(usage), %{@unknown | finish_reasons: List.wrap(reason)}}

  # Batches of pooling.
  def of(%{usage: %{prompt_tokens: _} = usage, model: model}, _whole?),
    do: {tokens(usage), %{@unknown | response_model: named(model)}}

  # The outputs of a batch of an LLM. Its prompts may be thousands, so it has no reasons.
  def of([%{prompt_token_ids: _} | _] = outputs, whole?) do
    measurements =
      for output <- outputs, {measured, _} = of(output, whole?), reduce: %{} do
        sums -> Map.merge(sums, sums(measured), fn _name, sum, more -> sum + more end)
      end

    {measurements, @unknown}
  end

  # The outputs of pooling.
  def of(%{prompt_token_ids: _} = output, _whole?), do: {input(output), @unknown}
  def of(_other, _whole?), do: none()

  @doc "Of a call that has no answer of a request."
  @spec none() :: t()
  def none, do: {%{}, @unknown}

  defp reasons(completions),
    do: for(%{finish_reason: reason} when is_binary(reason) <- completions, do: reason)

  defp sums(measured), do: Map.take(measured, [:input_tokens, :output_tokens])

  defp tokens(usage) do
    fields = [input_tokens: :prompt_tokens, output_tokens: :completion_tokens]

    for {name, field} <- fields,
        count = Map.get(usage, field),
        is_integer(count),
        into: %{},
        do: {name, count}
  end

  defp input(%{prompt_token_ids: ids} = output) when is_list(ids) do
    %{input_tokens: length(ids) + count(Map.get(output, :encoder_prompt_token_ids))}
  end

  defp input(_embeddings), do: %{}

  defp count(list) when is_list(list), do: length(list)
  defp count(_none), do: 0

  # vLLM's statistics of a request are those of one completion.
  defp output_tokens(
         %{outputs: [_], metrics: %RequestStateStats{num_generation_tokens: count}},
         _
       )
       when is_integer(count) and count > 0,
       do: %{output_tokens: count}

  defp output_tokens(%{outputs: completions}, true),
    do: %{output_tokens: Enum.sum(for %{token_ids: ids} <- completions, do: count(ids))}

  defp output_tokens(_output, false), do: %{}

  defp engine_times(%{outputs: [_], metrics: %RequestStateStats{first_token_latency: first} = it})
       when is_float(first) and first > 0.0 do
    later = later(it)
    times = %{time_to_first_token: native(first), engine_duration: native(first + later)}
    count = it.num_generation_tokens

    if is_integer(count) and count > 1,
      do: Map.put(times, :time_per_output_token, native(later / (count - 1))),
      else: times
  end

  defp engine_times(_output), do: %{}

  # Seconds from the first token to the last one.
  defp later(%{first_token_ts: first, last_token_ts: last})
       when is_float(first) and is_float(last) and last > first,
       do: last - first

  defp later(_one_token), do: 0.0

  defp native(seconds), do: round(seconds * System.convert_time_unit(1, :second, :native))

  defp adapter(%{lora_request: %{lora_name: name}}), do: named(name)
  defp adapter(_output), do: nil

  # An engine without a served name has the empty one in its answers.
  defp named(name) when is_binary(name) and name != "", do: name
  defp named(_none), do: nil
end
