defmodule Vllm.Absurd do
  @moduledoc false
  # Values that no option and no argument is meant to have, and some that are right by chance.

  alias Vllm.{Ref, Stream, Tensor}

  @doc "All fixed values, and random ones by ExUnit's seed."
  def values, do: numbers() ++ texts() ++ containers() ++ others() ++ forged() ++ random()

  defp numbers do
    powers = for exponent <- [31, 32, 63, 64, 70, 2000], do: Integer.pow(2, exponent)
    [0, -1, 1.5, -0.0, 1.7e308, :timer.hours(24 * 60) | powers] ++ Enum.map(powers, &(-&1))
  end

  defp texts do
    ["", "text", <<255>>, "a\0b", <<1::3>>, String.duplicate("x", 100_000), <<0xE9>>] ++
      [String.duplicate(<<255>>, 2_000)]
  end

  defp containers do
    [[], [1 | 2], [:a | :b], [{:a, 1} | :b], [a: 1], [rpc: 5], [rpc: [1 | 2]], [{"a", 1}]] ++
      [{}, {1, 2}, {:a, :b, :c}, %{}, %{<<255>> => 1}, %{self() => 1}, [self()]] ++
      [deep(&[&1]), deep(&{&1}), deep(&%{a: &1}), MapSet.new([1]), 1..3]
  end

  defp others do
    [nil, true, false, :nan, :infinity, :"", :undefined, self(), make_ref(), hd(Port.list())] ++
      [String.to_atom(String.duplicate("a", 255)), fn -> :called end, fn _, _ -> raise "no" end] ++
      [~D[2000-01-01], %URI{}, %Vllm.Error{}, %Vllm.Bytes{data: 5}]
  end

  @doc "Structs of this library with fields that no worker has made."
  def forged do
    good = %Ref{instance: {A.Vllm, node()}, incarnation: "0", id: "1", type: "AsyncLLM"}

    wrong = [
      nil,
      5,
      Integer.pow(2, 70),
      <<255>>,
      String.duplicate("x", 2_000),
      %{},
      self(),
      [1 | 2]
    ]

    refs =
      for field <- [:instance, :incarnation, :id, :type], value <- wrong do
        Map.put(good, field, value)
      end

    instances =
      for instance <- [{nil, node()}, {"a", :b}, {:a, 5}, {String.to_atom(long()), node()}] do
        %{good | instance: instance}
      end

    stream = %Stream{
      source: {self(), 1},
      instance: {A, node()},
      class: "A",
      method: "b",
      window: 1,
      deadline: :infinity
    }

    streams =
      for field <- [:source, :instance, :window, :deadline, :sent],
          value <- [0, {}, {1, 2}, -1] do
        Map.put(stream, field, value)
      end

    tensor = %Tensor{dtype: "float32", shape: [1], data: <<0::32>>}

    tensors =
      for {field, value} <-
            [dtype: 5, dtype: "x", shape: [-1], shape: [1 | 2], shape: 5] ++
              [shape: [0, Integer.pow(2, 70)], shape: List.duplicate(1, 100)] ++
              [data: 5, data: <<1::3>>] do
        Map.put(tensor, field, value)
      end

    refs ++ instances ++ streams ++ tensors
  end

  defp random do
    for(_ <- 1..5, do: Integer.pow(2, :rand.uniform(200)) * Enum.random([1, -1])) ++
      for(_ <- 1..3, do: Vllm.Gen.bytes()) ++ for(size <- 1..3, do: Vllm.Gen.term(size * 3))
  end

  defp deep(wrap), do: Enum.reduce(1..2_000, 1, fn _, inner -> wrap.(inner) end)
  defp long, do: String.duplicate("b", 255)
end
