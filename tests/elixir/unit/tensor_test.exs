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

    test "of extents of zero gives the same as numpy" do
      assert Tensor.to_list(tensor("int64", [0], "")) == []
      assert Tensor.to_list(tensor("int64", [0, 3], "")) == []
      assert Tensor.to_list(tensor("int64", [2, 0], "")) == [[], []]
    end

    test "of inconsistent fields raises" do
      assert_raise ArgumentError, ~r/has 8 bytes, but there are 4/, fn ->
        Tensor.to_list(tensor("float32", [2], <<0::32>>))
      end
    end
  end

  describe "from_list/2" do
    test "is the inverse of to_list/1" do
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

    test "refuses numbers that the type cannot hold" do
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

  test "inspecting a tensor shows no numbers" do
    assert inspect(Tensor.from_list([[1, 2]], "int16")) == "#Vllm.Tensor<int16[1, 2]>"
  end

  test "a shape beyond numpy's bounds is refused" do
    for shape <- [[0, Integer.pow(2, 63)], List.duplicate(1, 65), [1 | 2], [-1], 5] do
      assert {:error, reason} = Tensor.check("float32", shape, <<0::32>>)
      assert reason =~ "cannot have the shape"
    end

    assert Tensor.check("float32", List.duplicate(1, 64), <<0::32>>) == :ok
    assert Tensor.check("float32", [0, Integer.pow(2, 62)], "") == :ok
  end
end
