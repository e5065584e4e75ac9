defmodule Vllm.Core.Pool.ChoiceTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Pool.Choice

  defp member(name, load \\ {0, 0, 0}) do
    member = %Choice{instance: {name, node()}, ref: name, load: Choice.new_load()}
    Choice.reported(member.load, load)
    member
  end

  defp names(members, affinity, count) do
    Enum.frequencies_by(1..count, fn _ ->
      chosen = Choice.choose(members, affinity, [])
      Choice.sent(chosen)
      chosen.ref
    end)
  end

  test "without members there is none" do
    assert Choice.choose([], nil, []) == nil
    assert Choice.choose([], {:key, 1}, []) == nil
    only = member(:a)
    assert Choice.choose([only], nil, [only.instance]) == nil
  end

  test "the one with the least load is chosen, and one that waits counts as four that run" do
    members = [member(:a, {9, 0, 0}), member(:b, {0, 2, 0}), member(:c, {12, 0, 0})]
    assert %{ref: :b} = Choice.choose(members, nil, [])
    assert %{ref: :a} = Choice.choose(members, nil, [{:b, node()}])
    assert %{ref: :c} = Choice.choose(members, nil, [{:b, node()}, {:a, node()}])
  end

  test "what was sent since the last report counts" do
    assert names([member(:a), member(:b)], nil, 100) == %{a: 50, b: 50}
    assert names([member(:a, {40, 0, 0}), member(:b)], nil, 100) == %{a: 30, b: 70}
    a = member(:a)
    assert names([a], nil, 5) == %{a: 5}
    assert Choice.numbers(a.load).sent == 5
    Choice.reported(a.load, {7, 1, 500})
    assert Choice.numbers(a.load) == %{running: 7, waiting: 1, sent: 0, kv_cache_usage: 0.5}
  end

  test "of several with the same load each is chosen now and then" do
    chosen = for _ <- 1..300, do: Choice.choose([member(:a), member(:b), member(:c)], nil, []).ref
    assert chosen |> Enum.uniq() |> Enum.sort() == [:a, :b, :c]
  end

  test "an engine that hangs is chosen only if there is no other" do
    hangs = %{member(:a) | stalled?: true}
    assert %{ref: :b} = Choice.choose([hangs, member(:b, {50, 9, 0})], nil, [])
    assert %{ref: :a} = Choice.choose([hangs, member(:b)], nil, [{:b, node()}])
    assert %{ref: :a} = Choice.choose([hangs], {:key, 1}, [])
  end

  describe "with a key" do
    test "the same one is chosen, wherever the members stand in the list" do
      members = for name <- ~w(a b c d)a, do: member(name)

      for key <- 1..100 do
        %{ref: ref} = Choice.choose(members, {:key, key}, [])
        assert %{ref: ^ref} = Choice.choose(Enum.shuffle(members), {:key, key}, [])
      end
    end

    test "the keys are spread, and keep their member when another leaves" do
      members = for name <- ~w(a b c d)a, do: member(name)

      before =
        for key <- 1..400, into: %{}, do: {key, Choice.choose(members, {:key, key}, []).ref}

      for {_name, count} <- Enum.frequencies(Map.values(before)), do: assert(count in 50..150)
      left = Enum.reject(members, &(&1.ref == :d))

      for {key, ref} <- before,
          ref != :d,
          do: assert(%{ref: ^ref} = Choice.choose(left, {:key, key}, []))
    end

    test "a member with much more to do than the others is passed over, by its keys alone" do
      members = for name <- ~w(a b c)a, do: member(name)
      keys = Enum.group_by(1..300, &Choice.choose(members, {:key, &1}, []).ref)
      # A few requests are no load.
      Choice.reported(hd(members).load, {8, 0, 0})
      for key <- keys.a, do: assert(%{ref: :a} = Choice.choose(members, {:key, key}, []))
      Choice.reported(hd(members).load, {60, 0, 0})

      for {ref, keys} <- keys, key <- keys do
        chosen = Choice.choose(members, {:key, key}, []).ref
        if ref == :a, do: assert(chosen in [:b, :c]), else: assert(chosen == ref)
      end

      # When all have as much, nobody is passed over.
      for member <- members, do: Choice.reported(member.load, {60, 0, 0})
      for key <- keys.a, do: assert(%{ref: :a} = Choice.choose(members, {:key, key}, []))
    end
  end
end
