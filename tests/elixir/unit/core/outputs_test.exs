defmodule Vllm.Core.OutputsTest do
  # The items of a request are merged as Python's `RequestOutput.add` merges them.
  use ExUnit.Case, async: true

  alias Vllm.{CompletionOutput, RequestOutput, SamplingMask, WeightVersionSpan}

  defp item(completions, fields \\ []) do
    struct!(%RequestOutput{request_id: "r1", finished: false, outputs: completions}, fields)
  end

  defp completion(index, text, ids, fields \\ []),
    do: struct!(%CompletionOutput{index: index, text: text, token_ids: ids}, fields)

  test "with aggregate texts, ids and logprobs are appended by index" do
    first =
      item([completion(0, "a", [1], logprobs: [%{1 => :x}]), completion(1, "b", [2])],
        prompt: "p",
        metrics: :first
      )

    next =
      item([completion(1, "d", [4]), completion(0, "c", [3], logprobs: [%{3 => :y}])],
        prompt: nil
      )

    whole = RequestOutput.add(first, next, true)

    assert Enum.map(whole.outputs, &{&1.index, &1.text, &1.token_ids}) == [
             {0, "ac", [1, 3]},
             {1, "bd", [2, 4]}
           ]

    assert hd(whole.outputs).logprobs == [%{1 => :x}, %{3 => :y}]
    assert {whole.prompt, whole.metrics, whole.finished} == {"p", :first, false}
  end

  test "what comes with the last item is the last item's" do
    first = item([completion(0, "a", [1], cumulative_logprob: -1.0, routed_experts: :early)])
    spans = [%WeightVersionSpan{version: "default", start: 0, end: 2}]

    last =
      item(
        [
          completion(0, "b", [2],
            cumulative_logprob: -3.0,
            finish_reason: "stop",
            stop_reason: "x",
            weight_versions: spans
          )
        ],
        finished: true,
        kv_transfer_params: %{"a" => 1}
      )

    whole = RequestOutput.add(first, last, true)
    [completion] = whole.outputs

    assert {whole.finished, whole.kv_transfer_params} == {true, %{"a" => 1}}
    assert {completion.finish_reason, completion.stop_reason} == {"stop", "x"}
    assert {completion.cumulative_logprob, completion.weight_versions} == {-3.0, spans}
    assert completion.routed_experts == :early
    assert CompletionOutput.finished(completion)
    refute CompletionOutput.finished(hd(first.outputs))
    # An output that has ended stays so.
    assert RequestOutput.add(whole, first, true).finished
  end

  test "sampling masks are appended" do
    masked = fn ids ->
      item([completion(0, "a", [1], sampling_mask: ids && %SamplingMask{token_ids: ids})])
    end

    mask = fn output -> hd(output.outputs).sampling_mask end

    assert mask.(RequestOutput.add(masked.([[1]]), masked.([[2]]), true)).token_ids == [[1], [2]]
    assert mask.(RequestOutput.add(masked.(nil), masked.([[2]]), true)).token_ids == [[2]]
    assert mask.(RequestOutput.add(masked.([[1]]), masked.(nil), true)).token_ids == [[1]]
  end

  test "without aggregate a completion replaces the one of its index; a new index is added" do
    first = item([completion(0, "a", [1]), completion(1, "b", [2])])
    next = item([completion(1, "bb", [2, 3]), completion(2, "c", [4])])
    texts = for it <- RequestOutput.add(first, next, false).outputs, do: {it.index, it.text}
    assert texts == [{0, "a"}, {1, "bb"}, {2, "c"}]
    texts = for it <- RequestOutput.add(first, next, true).outputs, do: {it.index, it.text}
    assert texts == [{0, "a"}, {1, "bbb"}, {2, "c"}]
  end
end
