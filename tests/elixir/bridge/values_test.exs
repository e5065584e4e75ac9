defmodule Vllm.Bridge.ValuesTest do
  use Vllm.BridgeCase, async: true

  defp echo(engine, value), do: control(engine, "echo", [value])

  for {name, value} <- [
        nothing: nil,
        booleans: [true, false],
        integers: [0, 1, -1, 127, 128, -128, -129, 2 ** 31, 2 ** 53 + 1],
        big_integers: [2 ** 63, 2 ** 64 - 1, 2 ** 64, -(2 ** 63) - 1, -(2 ** 200), 2 ** 1000],
        nested_big_integers: %{"a" => [%{"b" => {2 ** 64, [-(2 ** 200)]}}]},
        floats: [0.5, 5.0e-324, 1.7976931348623157e308, 1.0e-7],
        no_numbers: [:nan, :infinity, :neg_infinity],
        empty_containers: [[], {}, %{}],
        tuples: {1, {2, {}}, [{3}]},
        keys: %{1 => "int", {1, 2} => "tuple", nil => "none", "s" => "str", 1.5 => "float"},
        text: ["", "a\0b", "emoji 🙂", "e\u0301", String.duplicate("ä", 70_000)]
      ] do
    test "#{name} come back unchanged", %{engine: engine} do
      value = unquote(Macro.escape(value))
      assert echo(engine, value) === value
    end
  end

  test "minus zero keeps its sign", %{engine: engine} do
    assert <<1::1, _::63>> = <<echo(engine, -0.0)::float>>
  end

  test "sets keep their type", %{engine: engine} do
    for set <- [MapSet.new(), MapSet.new([1, "a", {2, 3}])] do
      assert echo(engine, set) == set
    end
  end

  test "bytes are sent as Vllm.Bytes and arrive as a binary", %{engine: engine} do
    all = for byte <- 0..255, into: "", do: <<byte>>
    assert echo(engine, %Vllm.Bytes{data: all}) == all
    large = :binary.copy(all, 40_960)
    assert byte_size(large) == 10 * 1024 * 1024
    assert echo(engine, %Vllm.Bytes{data: large}) == large
  end

  test "dates and times keep their microseconds", %{engine: engine} do
    for value <- [
          ~U[2024-02-29 12:34:56.123456Z],
          ~N[2024-02-29 12:34:56.123456],
          ~D[0001-01-01],
          ~T[23:59:59.999999]
        ] do
      assert echo(engine, value) == value
    end
  end

  test "a tensor keeps dtype, shape and data", %{engine: engine} do
    tensor = %Vllm.Tensor{dtype: "float32", shape: [2, 1], data: <<1.5::float-32-little, 0::32>>}
    assert echo(engine, tensor) == tensor
  end

  test "atoms and keyword lists become strings and maps", %{engine: engine} do
    assert echo(engine, [:auto, [a: 1]]) == ["auto", %{"a" => 1}]
  end

  test "a value that Python cannot have is refused with the path", %{engine: engine} do
    assert {:error, %Error{kind: :invalid, details: %{"path" => path}}} =
             Vllm.call(engine, "echo", [%{"a" => [self()]}])

    assert path =~ ~s(["a"][0])
  end

  test "a value that only Python has is refused with the path", %{engine: engine} do
    assert {:error, %Error{} = error} = Vllm.call(engine, "make", ["cyclic"])
    assert error.message =~ "value"
    assert control(engine, "echo", [1]) == 1
  end

  test "any term comes back unchanged", %{engine: engine} do
    random = :rand.seed_s(:exsss, 42)

    Enum.reduce(1..300, random, fn _, random ->
      {term, random} = term(random, 4)
      assert echo(engine, term) === term
      random
    end)
  end

  test "received strings never become atoms", %{engine: engine} do
    # Once, so that what is loaded on first use is loaded.
    echo(engine, %{"warm" => ["up"]})
    before = :erlang.system_info(:atom_count)

    for chunk <- Enum.chunk_every(1..100_000, 10_000) do
      strings = Map.new(chunk, &{"never_an_atom_#{&1}", "nor_this_#{&1}"})
      assert echo(engine, strings) == strings
    end

    # Other tests run at the same time.
    assert :erlang.system_info(:atom_count) - before < 50 + other_tests()
  end

  # Their code is loaded meanwhile; 100,000 would still be seen.
  defp other_tests, do: 5_000

  defp term(random, 0), do: scalar(random)

  defp term(random, depth) do
    {kind, random} = :rand.uniform_s(6, random)

    case kind do
      1 -> many(random, depth, & &1)
      2 -> many(random, depth, &List.to_tuple(["tuple" | &1]))
      3 -> many(random, depth, fn terms -> Map.new(terms, &{"k#{:erlang.phash2(&1)}", &1}) end)
      _scalar -> scalar(random)
    end
  end

  # A list of pairs that begin with an atom is a keyword list, and those become maps: the pairs
  # here begin with text.
  defp many(random, depth, build) do
    {count, random} = :rand.uniform_s(5, random)

    {terms, random} =
      Enum.map_reduce(1..count, random, fn _, random -> term(random, depth - 1) end)

    {build.(terms), random}
  end

  defp scalar(random) do
    {kind, random} = :rand.uniform_s(6, random)
    {n, random} = :rand.uniform_s(1_000_000, random)

    value =
      case kind do
        1 -> n
        2 -> -(n ** 7)
        3 -> n / 7
        4 -> "text #{n} ß🙂"
        5 -> rem(n, 2) == 0
        6 -> nil
      end

    {value, random}
  end
end
