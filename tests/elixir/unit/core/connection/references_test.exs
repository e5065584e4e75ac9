defmodule Vllm.Core.Connection.ReferencesTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Connection.References

  @steps 200
  @ids ~w(a b c d)

  setup do
    processes = for _ <- 1..3, do: spawn(fn -> receive do: (:end -> :ok) end)
    %{processes: processes}
  end

  test "whatever happens in whatever order, each reference is released as often as it came",
       context do
    for seed <- 1..200 do
      :rand.seed(:exsss, {seed, 1, 2})
      start = %{references: %References{}, aliases: [], sent: [], released: []}
      state = Enum.reduce(1..@steps, start, fn _, state -> step(state, context.processes) end)
      last = end_all(state)
      assert Enum.sort(last.released) == Enum.sort(last.sent), "with the seed #{seed}"
      assert %References{count: last.references.count} == last.references
    end
  end

  test "a confirmed reference is not released while an owner is left", %{processes: processes} do
    [first, second, _third] = processes
    {number, references} = References.hand(%References{}, make_ref(), first, {["a"], false})
    [reply_to] = Map.keys(references.handed)
    references = References.received(references, reply_to, number, first, false)
    references = References.share(references, "a", second)
    assert {[], references} = References.release(references, "a", first)
    assert References.release(references, "a", first) == :not_owned
    assert {["a"], references} = References.release(references, "a", second)
    assert %{references | count: 0} == %References{}
  end

  test "a parcel is confirmed once, and not after it was withdrawn", %{processes: [process | _]} do
    reply_to = make_ref()
    {number, references} = References.hand(%References{}, reply_to, process, {["a"], false})
    assert {[{["a"], false}], references} = References.withdraw(references, reply_to)
    assert References.received(references, reply_to, number, process, false) == references
    assert References.withdraw(references, reply_to) == {[], references}
  end

  test "a linked engine is returned when its owner ends, others are not", context do
    [owner, other, _third] = context.processes

    references =
      Enum.reduce([{owner, "linked", true}, {other, "free", false}], %References{}, fn
        {process, id, link?}, references ->
          reply_to = make_ref()
          {number, references} = References.hand(references, reply_to, process, {[id], true})
          References.received(references, reply_to, number, process, link?)
      end)

    assert [{monitor, {:link, ["linked"]}}] = Map.to_list(references.monitors)
    assert {:ok, [{["linked"], true}], references} = References.down(references, monitor)
    assert References.down(references, monitor) == :unknown
    assert %References{references | count: 0} == %References{}
  end

  test "the engines of a parcel are known until it is confirmed", %{processes: [process | _]} do
    reply_to = make_ref()
    {built, references} = References.hand(%References{}, reply_to, process, {["e"], true})
    {other, references} = References.hand(references, reply_to, process, {["a"], false})
    assert References.engines(references, reply_to, built) == ["e"]
    assert References.engines(references, reply_to, other) == []
    assert References.engines(references, make_ref(), built) == []
    references = References.received(references, reply_to, built, process, false)
    assert References.engines(references, reply_to, built) == []
  end

  ## Random steps

  defp step(state, processes) do
    process = Enum.random(processes)
    references = state.references

    case :rand.uniform(6) do
      kind when kind <= 2 ->
        ids = Enum.take_random(@ids ++ @ids, :rand.uniform(3))
        reply_to = Enum.random([make_ref() | state.aliases])
        {_number, references} = References.hand(references, reply_to, process, {ids, false})
        aliases = Enum.uniq([reply_to | state.aliases])
        %{state | references: references, aliases: aliases, sent: ids ++ state.sent}

      3 ->
        reply_to = random_alias(state)
        number = :rand.uniform(references.count + 1)
        %{state | references: References.received(references, reply_to, number, process, false)}

      4 ->
        {parcels, references} = References.withdraw(references, random_alias(state))
        returned(%{state | references: references}, parcels)

      5 ->
        id = Enum.random(@ids)
        references = References.share(references, id, process)
        release(%{state | references: references}, id, Enum.random(processes))

      6 ->
        down(state, [make_ref() | Map.keys(references.monitors)] |> Enum.random())
    end
  end

  defp random_alias(state), do: Enum.random([make_ref() | state.aliases])

  defp release(state, id, process) do
    case References.release(state.references, id, process) do
      {ids, references} -> %{state | references: references, released: ids ++ state.released}
      :not_owned -> state
    end
  end

  defp down(state, monitor) do
    case References.down(state.references, monitor) do
      {:ok, parcels, references} -> returned(%{state | references: references}, parcels)
      :unknown -> state
    end
  end

  defp end_all(state) do
    case Map.keys(state.references.monitors) do
      [] -> state
      [monitor | _] -> state |> down(monitor) |> end_all()
    end
  end

  defp returned(state, parcels) do
    ids = for {ids, false} <- parcels, id <- ids, do: id
    %{state | released: ids ++ state.released}
  end
end
