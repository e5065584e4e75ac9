defmodule Vllm.OutputPatchTest do
  # What the worker sends of a stream becomes what vLLM yielded.
  use ExUnit.Case, async: true

  alias Vllm.{Error, OutputPatch, TestVectors}

  for %{"name" => name} = stream <- TestVectors.read("streams.json") do
    @stream_vector stream

    test "vector: #{name}" do
      for %{"bytes" => bytes, "value" => value} <- @stream_vector["items"],
          reduce: OutputPatch.new() do
        state ->
          assert {:ok, item, state} = OutputPatch.apply(bytes, state, :here)
          assert item == TestVectors.build(value, :received)
          state
      end
    end
  end

  defp stream(name) do
    %{"items" => items} = Enum.find(TestVectors.read("streams.json"), &(&1["name"] == name))
    for %{"bytes" => bytes} <- items, do: bytes
  end

  defp patch(content), do: <<0xC7, byte_size(content), 13, content::binary>>

  test "a patch before any item is refused" do
    [_first, patch | _] = stream("deltas")

    assert {:error, %Error{kind: :protocol, message: message}} =
             OutputPatch.apply(patch, OutputPatch.new(), :here)

    assert message =~ "before any item"
  end

  test "patches that make no sense are refused" do
    [first | _] = stream("cumulative")
    {:ok, _item, state} = OutputPatch.apply(first, OutputPatch.new(), :here)

    for content <- [
          <<0xC0>>,
          <<0x90>>,
          # an unknown mode
          <<0x94, 2, 0xC2, 0x90, 0xC0>>,
          # completions that are none
          <<0x94, 0, 0xC2, 0x91, 0xC0, 0xC0>>,
          <<0x94, 0, 0xC2, 0x91, 0x91, 0, 0xC0>>,
          # text and token ids to append that are none
          <<0x94, 1, 0xC2, 0x91, 0x96, 0, 7, 0x90, 0xC0, 0xC0, 0xC0, 0xC0>>,
          <<0x94, 1, 0xC2, 0x91, 0x96, 0, 0xA0, 0xC0, 0xC0, 0xC0, 0xC0, 0xC0>>,
          # other fields and changes that are none
          <<0x94, 0, 0xC2, 0x91, 0x96, 0, 0xA0, 0x90, 0xC0, 0xC0, 7, 0xC0>>,
          <<0x94, 0, 0xC2, 0x90, 7>>,
          # truncated, with a rest
          <<0x94, 0, 0xC2, 0x90>>,
          <<0x94, 0, 0xC2, 0x90, 0xC0, 0xC0>>
        ] do
      assert {:error, %Error{kind: :protocol}} = OutputPatch.apply(patch(content), state, :here)
    end

    assert {:ok, %Vllm.RequestOutput{outputs: []}, _} =
             OutputPatch.apply(patch(<<0x94, 0, 0xC3, 0x90, 0xC0>>), state, :here)
  end

  test "earlier items are unharmed by what is appended to them" do
    {items, _state} =
      Enum.map_reduce(stream("cumulative"), OutputPatch.new(), fn bytes, state ->
        {:ok, item, state} = OutputPatch.apply(bytes, state, :here)
        {item, state}
      end)

    texts = for %{outputs: [%{text: text}]} <- items, do: text
    assert texts == ["Once", "Once upon", "Once upon", "Once upon é"]
  end

  test "items share the prompt" do
    [first, second | _] = stream("deltas")
    {:ok, one, state} = OutputPatch.apply(first, OutputPatch.new(), :here)
    {:ok, two, _state} = OutputPatch.apply(second, state, :here)
    assert :erts_debug.same(one.prompt_token_ids, two.prompt_token_ids)
  end
end
