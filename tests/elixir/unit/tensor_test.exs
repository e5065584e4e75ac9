defmodule Vllm.TensorTest do
  # A stand-in for Nx is there for the whole node.
  use ExUnit.Case, async: false

  import Vllm.Gen, only: [check_all: 3]

  alias Vllm.{StandIns, Tensor}

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

  describe "rows/1" do
    test "are the parts along the first dimension" do
      for {list, dtype} <- [
            {[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "float32"},
            {[[[1], [2]], [[3], [4]]], "int8"},
            {[1, 2, 3], "uint16"},
            {[], "float32"}
          ] do
        rows = list |> Tensor.from_list(dtype) |> Tensor.rows()
        assert Enum.map(rows, &Tensor.to_list/1) == list
      end

      assert Enum.map(Tensor.rows(tensor("int64", [2, 0], "")), &Tensor.to_list/1) == [[], []]
    end

    test "are none of a single number, and of inconsistent fields" do
      assert_raise ArgumentError, ~r/no rows/, fn -> Tensor.rows(tensor("uint8", [], <<7>>)) end

      assert_raise ArgumentError, ~r/has 8 bytes/, fn ->
        Tensor.rows(tensor("float32", [2], <<0::32>>))
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

  # dtype => the greatest magnitude of the numbers that the properties use. All of them, and all their
  # products, are within the floats of 64 bits.
  @magnitudes %{
    "float16" => 60_000.0,
    "bfloat16" => 3.0e38,
    "float32" => 3.0e38,
    "float64" => 1.0e150,
    "int8" => 127,
    "int16" => 32_767,
    "int32" => 2 ** 31 - 1,
    "int64" => 2 ** 63 - 1,
    "uint8" => 255,
    "uint16" => 65_535,
    "uint32" => 2 ** 32 - 1,
    "uint64" => 2 ** 64 - 1,
    "bool" => 1
  }

  defp vector(dtype, length) do
    Tensor.from_list(for(_ <- 1..length//1, do: number(dtype, @magnitudes[dtype])), dtype)
  end

  defp number("bool", _greatest), do: Enum.random([true, false])
  defp number("uint" <> _bits, greatest), do: :rand.uniform(greatest + 1) - 1
  defp number("int" <> _bits, greatest), do: Enum.random([-1, 1]) * (:rand.uniform(greatest) - 1)

  defp number(_float, greatest) do
    # Of many magnitudes, half of them near 1.
    exponent = Enum.random([0, :rand.uniform() * 2 - 1]) * :math.log10(greatest)
    Enum.random([-1, 1]) * :rand.uniform() * :math.pow(10, min(exponent, :math.log10(greatest)))
  end

  defp pair(length) do
    [a, b] = for _ <- 1..2, do: @magnitudes |> Map.keys() |> Enum.random() |> vector(length)
    {a, b}
  end

  # As a fraction of integers, without any rounding.
  defp exact(tensor), do: tensor |> Tensor.to_list() |> Enum.map(&ratio/1)
  defp ratio(bool) when is_boolean(bool), do: {if(bool, do: 1, else: 0), 1}
  defp ratio(integer) when is_integer(integer), do: {integer, 1}
  defp ratio(float), do: Float.ratio(float)

  defp exact_dot(a, b) do
    Enum.zip_reduce(exact(a), exact(b), {0, 1}, fn {p, q}, {r, s}, {sum, under} ->
      {sum * q * s + p * r * under, under * q * s} |> reduced()
    end)
  end

  defp reduced({over, under}) do
    divisor = Integer.gcd(over, under)
    {div(over, divisor), div(under, divisor)}
  end

  # Whether a float is `number` times at most one and a little, in integers.
  defp near?(float, {over, under}, {slack, slack_under}) do
    {p, q} = ratio(float)
    abs(p * under - over * q) * slack_under <= slack * q * under
  end

  # What rounding may add: 2^-52 of the sum of the magnitudes, for each addition and product.
  defp slack(a, b) do
    {over, under} = exact_dot(absolute(a), absolute(b))
    # The least float is added, because products may vanish.
    {smallest, below} = Float.ratio(5.0e-324)
    {over * (Tensor.size(a) + 2) * below + smallest * 2 ** 52 * under, under * 2 ** 52 * below}
  end

  defp absolute(tensor) do
    numbers =
      for number <- Tensor.to_list(tensor),
          do: if(is_number(number), do: abs(number), else: number)

    # The magnitude of the least integer does not fit its own type.
    dtype = if tensor.dtype =~ ~r/^int/, do: "u" <> tensor.dtype, else: tensor.dtype
    Tensor.from_list(numbers, dtype)
  end

  describe "dot/2" do
    test "is the exact sum of the products, but for rounding, of all types" do
      check_all(300, &pair/1, fn {a, b} ->
        assert near?(Tensor.dot(a, b), exact_dot(a, b), slack(a, b))
        assert Tensor.dot(a, b) == Tensor.dot(b, a)
      end)
    end

    test "of integers is exact" do
      for dtype <- Map.keys(@magnitudes),
          dtype =~ "int" or dtype == "bool",
          length <- [0, 1, 17] do
        {a, b} = {vector(dtype, length), vector(dtype, length)}
        assert {Tensor.dot(a, b), 1} == exact_dot(a, b)
      end
    end

    test "with a vector of one 1 picks a number" do
      vector = vector("bfloat16", 9)

      for index <- 0..8 do
        one = Tensor.from_list(for(at <- 0..8, do: at == index), "bool")
        assert Tensor.dot(vector, one) == Enum.at(Tensor.to_list(vector), index)
      end
    end

    test "of nothing is zero, of the type" do
      assert Tensor.dot(vector("int8", 0), vector("bool", 0)) === 0
      assert Tensor.dot(vector("int8", 0), vector("float32", 0)) === 0.0
    end
  end

  describe "cosine/2" do
    test "is the dot product of the vectors over their lengths" do
      make = fn size ->
        for(_ <- 1..2, do: Tensor.from_list(for(_ <- 1..size, do: :rand.normal()), "float64"))
      end

      check_all(200, make, fn [a, b] ->
        cosine = Tensor.dot(a, b) / :math.sqrt(Tensor.dot(a, a) * Tensor.dot(b, b))
        assert_in_delta Tensor.cosine(a, b), cosine, 1.0e-12
      end)
    end

    test "is within -1 and 1, and 1 for a vector and itself, of all types and magnitudes" do
      nonzero = fn {a, b} -> Enum.all?([a, b], &(Tensor.dot(absolute(&1), absolute(&1)) > 0)) end
      make = fn size -> Stream.repeatedly(fn -> pair(size) end) |> Enum.find(nonzero) end

      check_all(200, make, fn {a, b} ->
        assert Tensor.cosine(a, b) >= -1.0 and Tensor.cosine(a, b) <= 1.0
        assert Tensor.cosine(a, b) == Tensor.cosine(b, a)
        assert Tensor.cosine(a, a) == 1.0
      end)
    end

    test "does not depend on lengths, and changes its sign with a vector" do
      check_all(100, &vector("float32", &1), fn vector ->
        numbers = Tensor.to_list(vector)

        [double, opposite] =
          for by <- [2.0, -0.5], do: Tensor.from_list(Enum.map(numbers, &(&1 * by)), "float64")

        assert Tensor.cosine(vector, double) == 1.0
        assert Tensor.cosine(vector, opposite) == -1.0
      end)
    end

    test "of numbers whose squares are no floats" do
      for {x, y} <- [{1.0e300, 1.0e-300}, {1.0e308, 1.0e308}, {5.0e-324, 5.0e-324}] do
        [a, b] = for n <- [x, y], do: Tensor.from_list([n, n], "float64")
        assert_in_delta Tensor.cosine(a, b), 1.0, 1.0e-15
      end
    end

    test "of a vector of zeros, or of none, raises" do
      for dtype <- Map.keys(@magnitudes), length <- [0, 3] do
        zeros = tensor(dtype, [length], :binary.copy(<<0>>, length * byte_size_of(dtype)))

        assert_raise ArgumentError, "a vector of zeros has no direction", fn ->
          Tensor.cosine(zeros, zeros)
        end
      end
    end
  end

  defp byte_size_of(dtype), do: Tensor.byte_size(vector(dtype, 1))

  describe "dot/2 and cosine/2 refuse" do
    test "shapes that differ, and those of other than one dimension" do
      shapes = [[3], [4], [3, 1], [1, 3], [0], []]

      for a <- shapes, b <- shapes, a != b or length(a) != 1, function <- [:dot, :cosine] do
        [a, b] =
          for shape <- [a, b],
              do: tensor("uint8", shape, :binary.copy(<<1>>, Enum.product(shape)))

        error = assert_raise ArgumentError, fn -> apply(Tensor, function, [a, b]) end

        assert error.message =~
                 "the shapes are #{inspect(a.shape, charlists: :as_lists)} and " <>
                   inspect(b.shape, charlists: :as_lists)
      end
    end

    test "numbers that are not finite, and complex ones" do
      whole = tensor("uint8", [2], <<1, 2>>)

      for {number, dtype} <- [
            {:nan, "float16"},
            {:infinity, "bfloat16"},
            {:neg_infinity, "float64"},
            {{1.0, 0.0}, "complex64"}
          ],
          function <- [:dot, :cosine] do
        odd = Tensor.from_list([number, number], dtype)

        for arguments <- [[odd, whole], [whole, odd]] do
          error = assert_raise ArgumentError, fn -> apply(Tensor, function, arguments) end

          assert error.message ==
                   "finite real numbers are needed, but there is #{inspect(number)}"
        end
      end
    end

    test "fields that do not fit together" do
      assert_raise ArgumentError, ~r/has 8 bytes, but there are 4/, fn ->
        Tensor.dot(tensor("float32", [2], <<0::32>>), vector("float32", 2))
      end
    end
  end

  describe "Nx" do
    test "that is not loaded is named" do
      for convert <- [fn -> Tensor.to_nx(vector("int8", 1)) end, fn -> Tensor.from_nx(%{}) end] do
        assert_raise ArgumentError, ~r/^Nx is not loaded; add :nx/, convert
      end
    end

    test "gets the type, the shape and the bytes, and gives them back" do
      StandIns.nx()

      for dtype <- Map.keys(@magnitudes) ++ ~w(complex64 complex128 float8_e5m2 float8_e4m3fn),
          shape <- [[], [1], [6], [2, 3], [1, 2, 1]] do
        bytes = Vllm.Core.Codec.Numbers.bytes(dtype)
        data = for _ <- 1..(Enum.product(shape) * bytes), into: <<>>, do: <<:rand.uniform(2) - 1>>
        nx = Tensor.to_nx(tensor(dtype, shape, data))
        assert nx.shape == List.to_tuple(shape)
        assert {_kind, bits} = nx.type
        assert bits == 8 * bytes
        # Nx has no bool.
        back = if dtype == "bool", do: "uint8", else: dtype
        assert Tensor.from_nx(nx) == tensor(back, shape, data)
      end
    end

    test "has names of its own for the types" do
      StandIns.nx()

      for {dtype, type} <- [
            {"float32", {:f, 32}},
            {"bfloat16", {:bf, 16}},
            {"int64", {:s, 64}},
            {"uint8", {:u, 8}}
          ] do
        assert Tensor.to_nx(vector(dtype, 2)).type == type
      end
    end

    test "gets no tensor that it cannot hold" do
      StandIns.nx()

      for {tensor, message} <- [
            {tensor("int8", [2, 0], ""), "Nx has no tensors without numbers"},
            {tensor("int8", [2], "x"), "a int8 tensor of shape [2] has 2 bytes, but there are 1"}
          ] do
        assert_raise ArgumentError, message, fn -> Tensor.to_nx(tensor) end
      end

      quarter = struct!(Nx, type: {:s, 2}, shape: {4}, data: <<0>>)

      assert_raise ArgumentError, ~r/type \{:s, 2\} cannot be converted/, fn ->
        Tensor.from_nx(quarter)
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
