defmodule Vllm.TensorTest do
  use ExUnit.Case, async: true

  alias Vllm.Tensor

  doctest Vllm.Tensor

  defp tensor(dtype, shape, data), do: %Tensor{dtype: dtype, shape: shape, data: data}

  describe "to_list/1" do
    test "nests by the shape" do
      data = for n <- 1..6, into: <<>>, do: <<n>>
      assert Tensor.to_list(tensor("uint8", [6], data)) == [1, 2, 3, 4, 5, 6]
      assert Tensor.to_list(tensor("uint8", [2, 3], data)) == [[1, 2, 3], [4, 5, 6]]

      assert Tensor.to_list(tensor("uint8", [3, 1, 2], data)) == [[[1, 2]], [[3, 4]], [[5, 6]]]
      assert Tensor.to_list(tensor("uint8", [], <<7>>)) == 7
    end

    test "of extents of zero is what numpy gives" do
      assert Tensor.to_list(tensor("int64", [0], "")) == []
      assert Tensor.to_list(tensor("int64", [0, 3], "")) == []
      assert Tensor.to_list(tensor("int64", [2, 0], "")) == [[], []]
    end

    test "reads each dtype" do
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
        assert Tensor.to_list(tensor(dtype, [length(expected)], data)) == expected
      end
    end

    test "shows what is not a number as an atom" do
      for dtype <- ["float16", "bfloat16", "float32", "float64"] do
        numbers = [:nan, :infinity, :neg_infinity, 0.5]
        assert numbers |> Tensor.from_list(dtype) |> Tensor.to_list() == numbers
      end
    end

    test "of fields that make no tensor raises" do
      assert_raise ArgumentError, ~r/has 8 bytes, but there are 4/, fn ->
        Tensor.to_list(tensor("float32", [2], <<0::32>>))
      end
    end
  end

  describe "from_list/2" do
    test "is undone by to_list/1" do
      for {list, dtype} <- [
            {[[1, 2, 3], [4, 5, 6]], "int32"},
            {[[[true]], [[false]]], "bool"},
            {[], "float32"},
            {[[], []], "float32"},
            {3, "uint8"},
            {[{1.0, 2.0}], "complex64"},
            {[-128, 127], "int8"}
          ] do
        assert list |> Tensor.from_list(dtype) |> Tensor.to_list() == list
      end
    end

    test "rounds to the nearest, ties to even, for bfloat16" do
      assert Tensor.from_list([1.00390625, 1.01171875], "bfloat16").data ==
               <<0x80, 0x3F, 0x82, 0x3F>>
    end

    test "refuses what the type cannot hold" do
      for {list, dtype} <- [
            {[256], "uint8"},
            {[-1], "uint8"},
            {[128], "int8"},
            {[1.5], "int32"},
            {["a"], "float32"},
            {[nil], "bool"},
            {[1], "float8_e5m2"},
            {[1], "decimal"},
            {[[1], [2, 3]], "int8"},
            {[1, [2]], "int8"},
            {[[1], 2], "int8"}
          ] do
        assert_raise ArgumentError, fn -> Tensor.from_list(list, dtype) end
      end
    end
  end

  test "sizes" do
    tensor = Tensor.from_list([[1, 2], [3, 4]], "int16")
    assert Tensor.size(tensor) == 4
    assert Tensor.byte_size(tensor) == 8
  end

  test "printing shows no numbers" do
    assert inspect(Tensor.from_list([[1, 2]], "int16")) == "#Vllm.Tensor<int16[1, 2]>"
    assert inspect(%Vllm.Bytes{data: "secret"}) == "#Vllm.Bytes<6 bytes>"
  end
end
