defmodule Vllm.Core.Codec.RoundTripTest do
  use ExUnit.Case, async: true

  import Vllm.Core.OuterSize

  import Vllm.Encoding, only: [encode!: 1]

  alias Vllm.{Codec, Error, Gen, TestVectors}
  alias Vllm.Core.Codec.OutputPatch

  test "any term comes back as it was" do
    Gen.check_all(3_000, &Gen.term/1, fn term ->
      assert Codec.decode(encode!(term), nil) == {:ok, term}
    end)
  end

  test "long lists of integers come back, also with something else among them" do
    others = [-1, 2 ** 32, 2 ** 70, 1.5, nil, "text", [], [1]]
    integer = fn _n -> :rand.uniform(2 ** :rand.uniform(32)) - 1 end

    list = fn _size ->
      integers = for n <- 1..(:rand.uniform(80) - 1)//1, do: integer.(n)
      List.insert_at(integers, :rand.uniform(80) - 1, Enum.random(others))
    end

    Gen.check_all(2_000, list, fn list ->
      assert Codec.decode(encode!(list), nil) == {:ok, list}
    end)
  end

  test "a term that holds one that cannot be sent is refused with the path" do
    Gen.check_all(300, &Gen.term/1, fn term ->
      assert {:error, %Error{details: %{"path" => "value[1][0]"}}} =
               Codec.encode({term, [make_ref(), term]})
    end)
  end

  test "any bytes are decoded or refused" do
    Gen.check_all(5_000, fn _size -> Gen.bytes() end, &decodes_or_refuses/1)
  end

  test "truncated values are refused" do
    Gen.check_all(300, &Gen.term/1, fn term ->
      data = encode!(term)
      cut = binary_part(data, 0, :rand.uniform(byte_size(data)) - 1)
      assert {:error, %Error{kind: :protocol}} = Codec.decode(cut, nil)
      assert {:error, %Error{kind: :protocol}} = Codec.decode(data <> <<0>>, nil)
    end)
  end

  test "mutated vectors are decoded or refused" do
    vectors =
      for file <- ["values.json", "malformed.json"],
          %{"bytes" => bytes} <- TestVectors.read(file),
          byte_size(bytes) in 1..2000,
          do: bytes

    Gen.check_all(20_000, fn _size -> mutate(Enum.random(vectors)) end, &decodes_or_refuses/1)
  end

  test "streams with mutated items go on or are refused" do
    streams = for stream <- TestVectors.read("streams.json"), do: stream["items"]

    Gen.check_all(5_000, fn _size -> Enum.random(streams) end, fn items ->
      Enum.reduce(items, OutputPatch.new(), fn %{"bytes" => bytes}, state ->
        bytes = if :rand.uniform(3) == 1, do: mutate(bytes), else: bytes

        case OutputPatch.apply(bytes, state, nil) do
          {:ok, _item, state} -> state
          {:error, %Error{kind: :protocol}} -> state
        end
      end)
    end)
  end

  defp decodes_or_refuses(bytes) do
    case Codec.decode(bytes, nil) do
      {:ok, _term} -> :ok
      {:error, %Error{kind: :protocol, message: message}} -> assert is_binary(message)
    end
  end

  defp mutate(bytes) do
    Enum.reduce(1..:rand.uniform(3), bytes, fn _, bytes ->
      position = :rand.uniform(byte_size(bytes)) - 1
      <<head::binary-size(outer(position)), _old, tail::binary>> = bytes

      case :rand.uniform(4) do
        1 -> head <> <<0>>
        2 -> <<head::binary, 0xDD, 0xFFFFFFFF::32, tail::binary>>
        _ -> <<head::binary, :rand.uniform(256) - 1, tail::binary>>
      end
    end)
  end
end
