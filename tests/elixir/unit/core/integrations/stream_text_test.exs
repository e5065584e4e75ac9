defmodule Vllm.Core.Integrations.StreamTextTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Integrations.StreamText
  alias Vllm.{ChatDelta, CompletionOutput, RequestOutput}

  defp output(completions) do
    outputs =
      for {index, text, ids} <- completions do
        %CompletionOutput{
          index: index,
          text: text,
          token_ids: ids,
          cumulative_logprob: nil,
          logprobs: nil
        }
      end

    %RequestOutput{outputs: outputs}
  end

  defp additions(items) do
    {additions, _state} = Enum.map_reduce(items, StreamText.new(), &StreamText.add(&2, &1))
    additions
  end

  defp text(completions) do
    items = for completion <- completions, do: output([completion])
    for {:text, text} <- additions(items), into: "", do: text
  end

  test "pieces are joined" do
    assert text([{0, "a", [1]}, {0, "b", [2]}, {0, "", []}]) == "ab"
  end

  test "a piece that repeats the first one is one more piece" do
    assert text([{0, "a", [1]}, {0, "a", [1]}, {0, "aa", [1, 1]}]) == "aaaa"
  end

  test "whole texts count once, also if the first is empty or a token adds none" do
    assert text([{0, "a", [1]}, {0, "ab", [1, 2]}, {0, "abc", [1, 2, 3]}]) == "abc"
    assert text([{0, "", [1]}, {0, "é", [1, 2]}, {0, "é!", [1, 2, 3]}]) == "é!"
    assert text([{0, "a", [1]}, {0, "a", [1, 2]}, {0, "ab", [1, 2, 3]}]) == "ab"
  end

  test "only the first choice counts" do
    items = [output([{1, "x", [9]}]), output([{0, "a", [1]}, {1, "y", [9]}])]
    assert additions(items) == [nil, {:text, "a"}]
    assert additions([%ChatDelta{index: 1, content: "x"}]) == [nil]
    assert additions([%ChatDelta{index: 0, content: "x"}]) == [{:text, "x"}]
    assert additions([%ChatDelta{index: 0, content: nil}]) == [nil]
  end

  test "texts and token ids are shown, and items without a text are kept" do
    assert additions(["a", [1, 2], :other]) == [{:text, "a"}, {:text, "1 2 "}, {:term, :other}]
  end
end
