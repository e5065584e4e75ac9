defmodule Vllm.Core.Codec.NumbersTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Codec.Numbers

  test "decode/2 reads each dtype" do
    for {dtype, data, expected} <- [
          {"bool", <<1, 0>>, [true, false]},
          {"uint8", <<255>>, [255]},
          {"uint16", <<0, 128>>, [32768]},
          {"int8", <<255>>, [-1]},
          {"int16", <<0, 128>>, [-32768]},
          {"int32", <<255, 255, 255, 255>>, [-1]},
          {"int64", <<1, 0, 0, 0, 0, 0, 0, 128>>, [1 - 2 ** 63]},
          {"uint64", <<255, 255, 255, 255, 255, 255, 255, 255>>, [2 ** 64 - 1]},
          {"float16", <<0x00, 0x3E, 0x01, 0x00>>, [1.5, 5.960464477539063e-8]},
          {"bfloat16", <<0xC0, 0x3F, 0x00, 0xC0>>, [1.5, -2.0]},
          {"float32", <<0, 0, 192, 63>>, [1.5]},
          {"float64", <<1.5::float-little>>, [1.5]},
          {"complex64", <<1.0::float-little-32, -2.0::float-little-32>>, [{1.0, -2.0}]},
          {"complex128", <<1.0::float-little, -2.0::float-little>>, [{1.0, -2.0}]},
          {"float8_e5m2", <<0x3E, 0x7C, 0xFC, 0x7F>>, [1.5, :infinity, :neg_infinity, :nan]},
          {"float8_e4m3fn", <<0x3C, 0xBC, 0x01, 0x7E, 0xFF>>,
           [1.5, -1.5, 0.001953125, 448.0, :nan]}
        ] do
      assert Numbers.decode(dtype, data) == expected
    end
  end

  test "infinities and not-a-number are atoms" do
    for dtype <- ["float16", "bfloat16", "float32", "float64"] do
      numbers = [:nan, :infinity, :neg_infinity, 0.5]
      assert Numbers.decode(dtype, Numbers.encode(numbers, dtype)) == numbers
    end
  end

  # As numpy and torch write it: other bits are not-a-number too.
  test "not-a-number is the quiet one" do
    for {dtype, bytes} <- [
          {"float16", <<0, 0x7E>>},
          {"bfloat16", <<0xC0, 0x7F>>},
          {"float32", <<0, 0, 0xC0, 0x7F>>},
          {"float64", <<0, 0, 0, 0, 0, 0, 0xF8, 0x7F>>}
        ],
        do: assert(Numbers.encode([:nan], dtype) == bytes)
  end

  test "encode/2 rounds bfloat16 to the nearest, ties to even" do
    assert Numbers.encode([1.00390625, 1.01171875], "bfloat16") ==
             <<0x80, 0x3F, 0x82, 0x3F>>
  end
end
