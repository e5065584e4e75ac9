defmodule Vllm.Core.Call.StreamedArgumentTest do
  use ExUnit.Case, async: true

  alias Vllm.{Codec, Error, StreamingInput}
  alias Vllm.Core.Call.StreamedArgument
  alias Vllm.Core.Codec.StreamMark

  # The mark of a stream: extension 15 of the value table around an empty array.
  @mark <<0xD4, 15, 0x90>>

  describe "take/2" do
    test "takes functions of Stream, its structs, other structs with Enumerable" do
      for stream <- [
            Stream.resource(fn -> nil end, fn _ -> {:halt, nil} end, fn _ -> :ok end),
            Stream.map(["a"], & &1),
            File.stream!("mix.exs"),
            1..3,
            [%StreamingInput{prompt: "a"}, %StreamingInput{prompt: "b"}]
          ] do
        assert {:ok, ^stream, [%StreamMark{}, 1], []} = StreamedArgument.take([stream, 1], [])

        assert {:ok, ^stream, [1], [prompt: %StreamMark{}]} =
                 StreamedArgument.take([1], prompt: stream)
      end
    end

    test "leaves values of the value table" do
      for value <- [
            "a",
            nil,
            [],
            [1, 2],
            ["a", %StreamingInput{prompt: "b"}],
            [%StreamingInput{prompt: "b"}, "a"],
            %{"prompt_token_ids" => [1]},
            [prompt: "a"],
            MapSet.new([1]),
            %Vllm.SamplingParams{},
            %StreamingInput{prompt: "a"},
            fn -> 1 end
          ] do
        assert StreamedArgument.take([value], prompt: value) ==
                 {:ok, nil, [value], [prompt: value]}
      end
    end

    test "refuses two streams in one call" do
      assert {:error, %Error{kind: :invalid, message: message}} =
               StreamedArgument.take([1..2], prompt: 3..4)

      assert message =~ "only one"
    end

    test "encodes the mark as Python does" do
      assert {:ok, iodata} = Codec.encode(%StreamMark{})
      assert IO.iodata_to_binary(iodata) == @mark
    end
  end

  describe "watch/2" do
    test "leaves arguments without an enumerable as they are" do
      assert {:ok, ["text", [1, 2]], [a: 1], begun?} =
               StreamedArgument.watch(["text", [1, 2]], a: 1)

      refute begun?.()
    end

    test "tells whether the enumerable was begun, wherever it stands" do
      for {args, named} <- [{[:stream, 1], []}, {[1], [prompt: :stream]}] do
        put = fn value -> if value == :stream, do: Stream.map(1..3, & &1), else: value end
        named = for {name, value} <- named, do: {name, put.(value)}
        {:ok, args, named, begun?} = StreamedArgument.watch(Enum.map(args, put), named)
        assert {:ok, enumerable, _args, _named} = StreamedArgument.take(args, named)
        refute begun?.()
        assert Enum.to_list(enumerable) == [1, 2, 3]
        assert begun?.()
      end
    end

    test "refuses two enumerables" do
      stream = Stream.map(1..3, & &1)
      assert {:error, %{kind: :invalid}} = StreamedArgument.watch([stream, stream], [])
    end
  end
end
