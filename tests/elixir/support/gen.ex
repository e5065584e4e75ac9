defmodule Vllm.Gen do
  @moduledoc """
  Random terms for property tests. Seeded by ExUnit: `mix test --seed` repeats a run.
  """

  @doc "Checks a property for `count` terms made by `make`; says which term it fails for."
  def check_all(count, make, property) do
    for size <- 1..count do
      term = make.(rem(size, 40) + 1)

      try do
        property.(term)
      rescue
        error in ExUnit.AssertionError ->
          reraise %{
                    error
                    | message: "#{error.message}\n\nfor #{inspect(term, limit: :infinity)}"
                  },
                  __STACKTRACE__
      end
    end
  end

  @doc "A term that comes back from Python as it was sent; of about `size` parts."
  def term(size) when size <= 1, do: leaf()

  def term(size) do
    case :rand.uniform(6) do
      1 -> leaf()
      2 -> size |> list(&term/1) |> no_keyword()
      3 -> list(size, &term/1) |> List.to_tuple()
      4 -> size |> list(&key/1) |> MapSet.new()
      _ -> size |> list(&{key(&1), term(&1)}) |> Map.new()
    end
  end

  @doc "A term that Python can have as a key."
  def key(size) when size <= 2, do: leaf()

  def key(size) do
    if :rand.uniform(3) == 1, do: size |> list(&key/1) |> List.to_tuple(), else: leaf()
  end

  @doc "Up to 300 random bytes."
  def bytes, do: :rand.bytes(:rand.uniform(300) - 1)

  defp list(size, make) do
    count = :rand.uniform(6) - 1
    for _ <- 1..count//1, do: make.(div(size, 2))
  end

  # These would come back as maps.
  defp no_keyword(items) do
    if items != [] and Keyword.keyword?(items), do: [0 | items], else: items
  end

  defp leaf do
    case :rand.uniform(12) do
      1 ->
        Enum.random([nil, true, false, :nan, :infinity, :neg_infinity])

      2 ->
        :rand.uniform(400) - 200

      3 ->
        integer()

      4 ->
        integer()

      5 ->
        :rand.normal() * :math.pow(10, :rand.uniform(600) - 300)

      6 ->
        text(:rand.uniform(40) - 1)

      7 ->
        text(Enum.random([31, 32, 255, 256, 300]))

      8 ->
        %Vllm.Tensor{dtype: "int16", shape: [1, 2], data: :rand.bytes(4)}

      9 ->
        Date.add(~D[0001-01-01], :rand.uniform(3_652_059) - 1)

      10 ->
        DateTime.from_unix!(:rand.uniform(4_000_000_000_000_000), :microsecond)

      11 ->
        DateTime.to_naive(DateTime.from_unix!(:rand.uniform(4_000_000_000_000_000), :microsecond))

      12 ->
        Time.add(~T[00:00:00.000000], :rand.uniform(86_400_000_000) - 1, :microsecond)
    end
  end

  defp integer do
    sign = Enum.random([1, -1])
    sign * (Bitwise.bsl(1, :rand.uniform(90)) + :rand.uniform(3) - 2)
  end

  defp text(length) do
    points =
      for _ <- 1..length//1, do: Enum.random([?a, 0, ?é, 0x301, 0x1F600, 0x10FFFF, 0xFFFF])

    List.to_string(points)
  end
end
