defmodule Vllm.Core.Wire.ElementsTest do
  use ExUnit.Case, async: true

  alias Vllm.Cuts
  alias Vllm.Core.Wire.Elements
  alias Vllm.Proto.{Accepted, CallReply, End, Notice, Draining, ServerFrame}

  # Around the sizes at which a varint takes a byte more: of the id, of the item, of the reply.
  @ids [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455, 268_435_456, 2 ** 40]
  @sizes [0, 1, 60, 118, 119, 120, 121, 122, 123, 124, 127, 128, 300, 20_000]

  defp encode(frame), do: frame |> ServerFrame.encode() |> IO.iodata_to_binary()

  defp item(id, size), do: %CallReply{call: id, outcome: {:item, :binary.copy("x", size)}}

  # How many fit into lengths of one byte and an id of four.
  defp small(replies) do
    Enum.count(replies, fn %{call: id, outcome: {:item, item}} = reply ->
      size = reply |> CallReply.encode() |> IO.iodata_length()
      id in 1..268_435_455 and byte_size(item) in 0..127 and size < 128
    end)
  end

  # What the decoder of whole frames makes of the elements, in order.
  defp replies(elements) do
    for element <- Enum.reverse(elements),
        reply <-
          (case element do
             {:item, id, payload} -> [%CallReply{call: id, outcome: {:item, payload}}]
             %ServerFrame{replies: replies} -> replies
           end),
        do: reply
  end

  test "items of any id and size are those of the frame" do
    sent = for id <- @ids, size <- @sizes, do: item(id, size)
    frame = encode(%ServerFrame{replies: sent})
    assert {:ok, elements} = Elements.split(frame, [])
    assert {:ok, %ServerFrame{replies: decoded}} = ServerFrame.decode(frame)
    assert replies(elements) == decoded
    # Of ids below 2^28 and replies below 128 bytes none is left to the decoder.
    assert {:ok, items} =
             Elements.split(encode(%ServerFrame{replies: [item(2_097_151, 121)]}), [])

    assert [{:item, 2_097_151, _}] = items
    assert Enum.count(elements, &match?({:item, _, _}, &1)) == small(sent)
  end

  test "an item with references, and what is no item, is a frame of its own" do
    others = [
      %{item(7, 10) | references: ["r1"]},
      %CallReply{call: 7, outcome: {:accepted, %Accepted{}}},
      %CallReply{call: 7, outcome: {:value, "value"}},
      %CallReply{call: 7, outcome: {:end, %End{}}}
    ]

    for other <- others do
      frame = encode(%ServerFrame{replies: [item(7, 3), other, item(300, 3)]})
      assert {:ok, [{:item, 300, "xxx"}, decoded, {:item, 7, "xxx"}]} = Elements.split(frame, [])
      assert decoded == %ServerFrame{replies: [other]}
    end
  end

  test "replies and notices stay in their order" do
    notice = encode(%ServerFrame{notices: [%Notice{event: {:draining, %Draining{grace_ms: 5}}}]})
    reply = encode(%ServerFrame{replies: [item(1, 2)]})

    assert {:ok, [{:item, 1, "xx"}, %ServerFrame{notices: [_]}, {:item, 1, "xx"}]} =
             Elements.split(reply <> notice <> reply, [])
  end

  test "an empty message has no elements" do
    assert Elements.split("", []) == {:ok, []}
  end

  test "a message is refused wherever the decoder refuses it, and read where it reads it" do
    sent = [item(1, 20), %CallReply{call: 2, outcome: {:end, %End{}}}, item(300, 200)]
    frame = encode(%ServerFrame{replies: sent})

    for seed <- 1..2_000 do
      mutated = Cuts.mutate(frame, seed, 1 + rem(seed, 4))

      case {Elements.split(mutated, []), ServerFrame.decode(mutated)} do
        {{:ok, elements}, {:ok, %ServerFrame{replies: decoded}}} ->
          assert replies(elements) == decoded, "seed #{seed}"

        {{:error, reason}, {:error, _reason}} ->
          assert is_binary(reason)

        differing ->
          flunk("seed #{seed}: #{inspect(differing)}")
      end
    end
  end
end
