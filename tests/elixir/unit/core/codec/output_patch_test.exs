defmodule Vllm.Core.Codec.OutputPatchTest do
  # What the worker sends of a stream becomes what vLLM yielded.
  use ExUnit.Case, async: true

  alias Vllm.{Error, TestVectors}
  alias Vllm.Core.Codec.OutputPatch

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

  test "invalid patches are refused" do
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

  test "a patch of one token means the same in every encoding of its parts" do
    for name <- ["deltas", "cumulative"],
        mode <- [0, 1],
        # an index that no item had before too
        index <- [0, 7],
        text <- ["", "x", "né", String.duplicate("z", 31)],
        {id, spelled} <- [
          {0, <<0>>},
          {127, <<127>>},
          {128, <<0xCC, 128>>},
          {255, <<0xCC, 255>>},
          {65_535, <<0xCD, 65_535::16>>},
          {151_643, <<0xCE, 151_643::32>>}
        ],
        more <- [<<0xC0>>, <<0x81, 0xB1, "num_cached_tokens", 3>>] do
      [first | _] = stream(name)
      {:ok, _item, state} = OutputPatch.apply(first, OutputPatch.new(), :here)
      size = byte_size(text)
      begin = <<0x94, mode, 0xC2, 0x91, 0x96, index>>

      short = <<begin::binary, 0b101::3, size::5, text::binary, 0x91, spelled::binary>>
      long = <<begin::binary, 0xD9, size, text::binary, 0xDC, 1::16, 0xCF, id::64>>

      [short, long] =
        for content <- [short, long] do
          OutputPatch.apply(patch(content <> <<0xC0, 0xC0, 0xC0>> <> more), state, :here)
        end

      assert {:ok, %{finished: false, outputs: [completion]}, _state} = short
      assert List.last(completion.token_ids) == id
      assert String.ends_with?(completion.text, text)
      assert short == long
    end
  end

  test "a patch of one token with further changes is read to its end" do
    [first | _] = stream("deltas")
    {:ok, _item, state} = OutputPatch.apply(first, OutputPatch.new(), :here)
    token = <<0x91, 0x96, 0, 0xA1, "x", 0x91, 5>>

    assert {:ok, %{outputs: [%{finish_reason: "stop", stop_reason: 9}], finished: true}, _state} =
             OutputPatch.apply(
               patch(<<0x94, 0, 0xC3, token::binary, 0xA4, "stop", 9, 0xC0, 0xC0>>),
               state,
               :here
             )

    assert {:ok, %{outputs: [%{cumulative_logprob: -1, text: "x"}], num_cached_tokens: 3}, _state} =
             OutputPatch.apply(
               patch(
                 <<0x94, 0, 0xC2, token::binary, 0xC0, 0xC0>> <>
                   <<0x81, 0xB2, "cumulative_logprob", 0xFF>> <>
                   <<0x81, 0xB1, "num_cached_tokens", 3>>
               ),
               state,
               :here
             )

    for rest <- [<<0xC0, 0xC0, 0xC0>>, <<0xC0, 0xC0, 0xC0, 0xC0, 0xC0>>] do
      assert {:error, %Error{kind: :protocol}} =
               OutputPatch.apply(
                 patch(<<0x94, 0, 0xC2, token::binary, rest::binary>>),
                 state,
                 :here
               )
    end
  end

  describe "of several completions" do
    setup do
      [first | _] = stream("deltas")
      {:ok, item, state} = OutputPatch.apply(first, OutputPatch.new(), :here)
      other = <<0x94, 0, 0xC2, 0x91, 0x96, 7, 0xA1, "x", 0x91, 5, 0xC0, 0xC0, 0xC0, 0xC0>>
      {:ok, later, both} = OutputPatch.apply(patch(other), state, :here)
      %{item: item, state: state, later: later, both: both}
    end

    test "an item has those that are new in it", %{later: later} do
      assert [%{index: 7, text: "x", token_ids: [5]}] = later.outputs
    end

    test "the last item is completed with the others, in their order", context do
      %{item: item, later: later, both: both} = context
      assert [%{index: 0}] = item.outputs
      completed = OutputPatch.completed(later, both)
      assert completed.outputs == item.outputs ++ later.outputs
      assert %{completed | outputs: later.outputs} == later
    end

    test "an item of one completion, or of another class, is complete", context do
      assert OutputPatch.completed(context.item, context.state) == context.item
      assert OutputPatch.completed("text", context.both) == "text"
      assert OutputPatch.completed(context.item, OutputPatch.new()) == context.item
    end
  end

  test "logprobs of later tokens are appended to the earlier ones" do
    [first | _] = stream("deltas")
    {:ok, _item, state} = OutputPatch.apply(first, OutputPatch.new(), :here)
    token = <<0x91, 0x96, 0, 0xA1, "x", 0x91, 5, 0xC0, 0xC0>>
    body = <<0x94, 1, 0xC2, token::binary, 0x81, 0xA8, "logprobs", 0x91, 0x80, 0xC0>>
    {:ok, %{outputs: [%{logprobs: [%{}]}]}, state} = OutputPatch.apply(patch(body), state, :here)
    {:ok, %{outputs: [%{logprobs: both}]}, _} = OutputPatch.apply(patch(body), state, :here)
    assert both == [%{}, %{}]
  end

  test "the metrics of a token are read in every encoding of their number" do
    [first | _] = stream("deltas")
    {:ok, _item, {item, known}} = OutputPatch.apply(first, OutputPatch.new(), :here)
    state = {%{item | metrics: %Vllm.RequestStateStats{}}, known}
    token = <<0x94, 0, 0xC2, 0x91, 0x96, 0, 0xA1, "x", 0x91, 5, 0xC0, 0xC0, 0xC0>>

    read = fn number ->
      changes =
        <<0x81, 0xA7, "metrics", 0x82, 0xB5, "num_generation_tokens", number::binary>> <>
          <<0xAD, "last_token_ts", 0xCB, 1.5::float>>

      {:ok, %{metrics: metrics}, _} = OutputPatch.apply(patch(token <> changes), state, :here)
      assert metrics.last_token_ts == 1.5
      metrics.num_generation_tokens
    end

    for {number, spelled} <- [
          {0, <<0>>},
          {127, <<127>>},
          {128, <<0xCC, 128>>},
          {300, <<0xCD, 300::16>>},
          {70_000, <<0xCE, 70_000::32>>}
        ],
        do: assert(read.(spelled) == number)

    # This byte is an empty map.
    assert read.(<<0x80>>) == %{}
  end

  test "a patch is nested as deep as any value" do
    [first | _] = stream("deltas")
    {:ok, _item, state} = OutputPatch.apply(first, OutputPatch.new(), :here)

    deepest = fn decodes? ->
      Enum.find(1..600, &(not decodes?.(String.duplicate(<<0x91>>, &1))))
    end

    value =
      deepest.(
        &match?(
          {:ok, _},
          Vllm.Codec.decode(<<0x91, 0x91, 0x91, 0x81, 0xA1, "x">> <> &1 <> <<0xC0>>, nil)
        )
      )

    changed =
      deepest.(fn lists ->
        content = <<0x94, 0, 0xC2, 0x90, 0x81, 0xA1, "x">> <> lists <> <<0xC0>>
        body = <<0xC9, byte_size(content)::32, 13, content::binary>>
        match?({:ok, _item, _state}, OutputPatch.apply(body, state, :here))
      end)

    assert changed == value + 1
  end

  test "earlier items do not change when text is appended" do
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
