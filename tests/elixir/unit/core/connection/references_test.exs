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

    assert [{monitor, {:link, ^owner, ["linked"]}}] = Map.to_list(references.monitors)
    assert {:ok, [{["linked"], true}], references} = References.down(references, monitor, :killed)
    assert References.down(references, monitor, :killed) == :unknown
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

  describe "of a node that has disconnected" do
    # The processes are of this node, so each is monitored again at once; what a node is that stays away
    # is seen with nodes (bridge/nodes_test.exs).
    setup context do
      {[owner | _], references} = {context.processes, References.new(60_000)}
      reply_to = make_ref()
      {object, references} = References.hand(references, reply_to, owner, {["a"], false})
      references = References.received(references, reply_to, object, owner, false)
      {engine, references} = References.hand(references, reply_to, owner, {["e"], true})
      references = References.received(references, reply_to, engine, owner, true)
      %{owner: owner, references: references}
    end

    test "references are kept, and released when the time is over", context do
      %{references: references} = context
      monitors = Map.keys(references.monitors)
      references = Enum.reduce(monitors, references, &lost/2)
      timers = Map.keys(references.monitors)
      assert length(timers) == 2 and timers -- monitors == timers
      assert references.listening?

      {parcels, references} =
        Enum.flat_map_reduce(timers, references, fn timer, references ->
          {:ok, parcels, references} = References.expired(references, timer)
          assert References.expired(references, timer) == :unknown
          {parcels, references}
        end)

      assert Enum.sort(parcels) == [{["a"], false}, {["e"], true}]
      refute references.listening?
      assert %References{References.new(60_000) | count: 2} == references
    end

    test "references are kept when it comes back, until the owner ends", context do
      %{references: references, owner: owner} = context
      references = references.monitors |> Map.keys() |> Enum.reduce(references, &lost/2)
      assert References.node_up(references, :other@node) == references
      references = References.node_up(references, node())
      refute references.listening?
      Process.exit(owner, :kill)

      for monitor <- Map.keys(references.monitors) do
        assert_receive {:DOWN, ^monitor, :process, ^owner, :killed}
        assert {:ok, [_parcel], _references} = References.down(references, monitor, :killed)
      end
    end

    test "an owner may release what it owns meanwhile", context do
      %{references: references, owner: owner} = context
      references = references.monitors |> Map.keys() |> Enum.reduce(references, &lost/2)
      assert {["a"], references} = References.release(references, "a", owner)
      assert [{_timer, {:absent, {:link, ^owner, ["e"]}}}] = Map.to_list(references.monitors)
    end

    test "without a grace time they are released at once", %{references: references} do
      references = %{references | grace: 0}

      for monitor <- Map.keys(references.monitors),
          do: assert({:ok, [_], _} = References.down(references, monitor, :noconnection))
    end

    test "a receiver that has not confirmed has none", %{references: references, owner: owner} do
      reply_to = make_ref()
      {_number, references} = References.hand(references, reply_to, owner, {["b"], false})
      {monitor, _parcels} = references.handed[reply_to]
      assert {:ok, [{["b"], false}], _} = References.down(references, monitor, :noconnection)
    end

    defp lost(monitor, references) do
      {:ok, [], references} = References.down(references, monitor, :noconnection)
      references
    end
  end

  describe "of a session that was lost" do
    setup %{processes: [owner, other, receiver]} do
      references = owned(References.new(60_000), ["a", "a", "b"], owner)
      references = References.share(references, "b", other)
      %{references: references, owner: owner, other: other, receiver: receiver}
    end

    test "owners are as before, and what nobody has heard of is released", context do
      %{owner: owner, other: other} = context
      kept = References.keep(context.references)
      held = ["a", "a", "b", "b", "c"]
      assert {references, unknown} = References.restore(kept, held, 60_000)
      assert Enum.sort(unknown) == ["b", "c"]
      assert {["a", "a"], references} = References.release(references, "a", owner)
      assert {[], references} = References.release(references, "b", owner)
      assert {["b"], references} = References.release(references, "b", other)
      assert References.sizes(references) == %{handed: 0, owned: 0}
    end

    test "what the worker does not hold is forgotten", %{references: references, owner: owner} do
      {references, []} = references |> References.keep() |> References.restore(["b"], 60_000)
      assert References.release(references, "a", owner) == :not_owned
      assert References.sizes(references) == %{handed: 0, owned: 1}
    end

    test "an owner that has ended meanwhile is found", context do
      kept = References.keep(context.references)
      Process.exit(context.owner, :kill)
      {references, []} = References.restore(kept, ["a", "a", "b"], 60_000)
      assert_receive {:DOWN, monitor, :process, _owner, :noproc}

      assert {:ok, [{["a", "a"], false}], references} =
               References.down(references, monitor, :noproc)

      assert {["b"], _references} = References.release(references, "b", context.other)
    end

    test "a parcel on its way is confirmed later, one with an engine is not kept", context do
      %{references: references, receiver: receiver} = context
      reply_to = make_ref()
      {number, references} = References.hand(references, reply_to, receiver, {["d"], false})
      {built, references} = References.hand(references, reply_to, receiver, {["e"], true})
      kept = References.keep(references)
      held = ["a", "a", "b", "d", "e"]
      assert {references, ["e"]} = References.restore(kept, held, 60_000)
      assert References.engines(references, reply_to, built) == []
      references = References.received(references, reply_to, number, receiver, false)
      assert {["d"], _references} = References.release(references, "d", receiver)
    end

    test "a linked engine has ended with it", %{references: references, owner: owner} do
      {number, references} = References.hand(references, make_ref(), owner, {["e"], true})
      [reply_to] = Map.keys(references.handed)
      references = References.received(references, reply_to, number, owner, true)
      kept = References.keep(references)
      {references, []} = References.restore(kept, ["a", "a", "b"], 60_000)
      refute Enum.any?(references.monitors, &match?({_monitor, {:link, _owner, _ids}}, &1))
    end

    defp owned(references, ids, owner) do
      reply_to = make_ref()
      {number, references} = References.hand(references, reply_to, owner, {ids, false})
      References.received(references, reply_to, number, owner, false)
    end
  end

  ## Random steps

  defp step(state, processes) do
    process = Enum.random(processes)
    references = state.references

    case :rand.uniform(7) do
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

      7 ->
        lose_session(state)
    end
  end

  # A reply, and some releases, were on their way when the session was lost.
  defp lose_session(state) do
    sent = Enum.take_random(@ids, :rand.uniform(2) - 1) ++ state.sent
    arrived = Enum.drop(state.released, :rand.uniform(3) - 1)
    kept = References.keep(state.references)
    {references, unknown} = References.restore(kept, sent -- arrived, 0)
    %{state | references: references, sent: sent, released: unknown ++ arrived}
  end

  defp random_alias(state), do: Enum.random([make_ref() | state.aliases])

  defp release(state, id, process) do
    case References.release(state.references, id, process) do
      {ids, references} -> %{state | references: references, released: ids ++ state.released}
      :not_owned -> state
    end
  end

  defp down(state, monitor) do
    case References.down(state.references, monitor, Enum.random([:killed, :noconnection])) do
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
