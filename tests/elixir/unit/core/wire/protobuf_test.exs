defmodule Vllm.Core.Wire.ProtobufTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Wire.Protobuf

  # Both sides of each size of a varint.
  @edges [0, 1, 127, 128, 16_383, 16_384, 2 ** 21, 2 ** 32, 2 ** 63, 2 ** 64 - 1]

  defp varint(value), do: IO.iodata_to_binary(Protobuf.varint(value))

  test "varints are decoded as they were encoded" do
    for value <- @edges,
        do: assert(Protobuf.take_uint64(varint(value) <> "rest") == {:ok, value, "rest"})
  end

  test "a number of 32 bits ignores the upper ones, an enum's is signed" do
    assert Protobuf.take_uint32(varint(2 ** 32 + 7)) == {:ok, 7, ""}
    assert Protobuf.take_enum(varint(2 ** 64 - 1)) == {:ok, -1, ""}
    assert Protobuf.take_bool(varint(2)) == {:ok, true, ""}
  end

  test "an incomplete or too long varint is an error" do
    assert Protobuf.take_uint64("") == {:error, "ends within a varint"}
    assert Protobuf.take_uint64(<<0x80>>) == {:error, "ends within a varint"}
    long = String.duplicate(<<0x80>>, 10) <> <<1>>
    assert Protobuf.take_uint64(long) == {:error, "a varint of more than 10 bytes"}
  end

  test "a length beyond the end is an error with both sizes" do
    assert Protobuf.take_bytes(<<3, "abc", "d">>) == {:ok, "abc", "d"}
    assert Protobuf.take_bytes(<<3, "ab">>) == {:error, "3 bytes announced, 2 left"}
  end

  test "unknown fields of every wire type are skipped" do
    for {type, content, cut} <- [
          {0, varint(300), "ends within a varint"},
          {1, <<0::64>>, "ends within an unknown field"},
          {2, <<2, "ab">>, "2 bytes announced, 1 left"},
          {5, <<0::32>>, "ends within an unknown field"}
        ] do
      field = varint(9 * 8 + type) <> content
      assert Protobuf.skip(field <> "rest", [1]) == {:ok, "rest"}
      assert Protobuf.skip(binary_part(field, 0, byte_size(field) - 1), [1]) == {:error, cut}
    end
  end

  test "groups, field number 0 and a known field of another wire type are errors" do
    assert Protobuf.skip(<<9 * 8 + 3>>, [1]) == {:error, "wire type 3"}
    assert Protobuf.skip(<<0>>, [1]) == {:error, "field number 0"}
    assert Protobuf.skip(<<9 * 8 + 5, 0::32>>, [9]) == {:error, "field 9 has wire type 5"}
  end

  test "default values are left out, except where they are set" do
    assert Protobuf.put_uint(<<8>>, 0) == []
    assert Protobuf.put_bytes(<<10>>, "") == []
    assert IO.iodata_to_binary(Protobuf.set_uint(<<8>>, 0)) == <<8, 0>>
    assert IO.iodata_to_binary(Protobuf.put_packed(<<10>>, [1, 300])) == <<10, 3, 1, 172, 2>>
  end
end
