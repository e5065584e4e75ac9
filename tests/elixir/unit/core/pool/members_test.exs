defmodule Vllm.Core.Pool.MembersTest do
  # The process of a pool, whose members are processes of the test.
  use ExUnit.Case, async: true

  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{Error, Pool, Ref}
  alias Vllm.Core.Instance.Declared
  alias Vllm.Core.Pool.{Lookup, Members, Scope}

  setup %{test: pool} do
    start_supervised!({Members, {pool, [], []}})
    %{pool: pool}
  end

  # A process that joins the pool as the declared engines of an instance do, and reports what it is told.
  defp member(pool, name, engines) do
    test = self()

    {:ok, pid} =
      Task.start_link(fn ->
        Scope.join(pool)

        receive do:
                  ({:"$gen_cast", {:report_to, receiver}} ->
                     report(receiver, test, name, engines))
      end)

    assert_receive {:reports, ^pid}
    pid
  end

  defp report(receiver, test, name, engines) do
    engines = for engine <- engines, do: filled(engine, name)
    send(receiver, {:vllm_report, self(), %{instance: {name, node()}, engines: engines}})
    send(test, {:reports, self()})

    receive do
      {:report, engines} -> report(receiver, test, name, engines)
      :end -> :ok
    end
  end

  defp filled({engine, :ready}, name), do: filled({engine, :ready, 0, nil}, name)

  defp filled({engine, state, count, load}, name) do
    id = "#{name} #{engine}"
    ref = %Ref{instance: {name, node()}, incarnation: "i", id: id, type: "AsyncLLM"}
    %{name: engine, state: state, ref: ref, count: count, load: load}
  end

  defp filled({engine, state}, _name),
    do: %{name: engine, state: state, ref: nil, count: 0, load: nil}

  defp tell(pid, engines) do
    send(pid, {:report, engines})
    assert_receive {:reports, ^pid}
  end

  defp known(pool) do
    {:ok, rows} = Lookup.known(pool)
    for row <- rows, do: {elem(row.instance, 0), row.engine, row.state}
  end

  test "members come, change and go", %{pool: pool} do
    a = member(pool, A, chat: :ready, embed: :building)
    b = member(pool, B, chat: :ready)
    wait_until(fn -> length(known(pool)) == 3 end)
    assert known(pool) == [{A, :chat, :ready}, {A, :embed, :building}, {B, :chat, :ready}]
    assert length(Lookup.members(pool, :chat)) == 2
    tell(a, chat: :draining, embed: :building)
    wait_until(fn -> match?([%{instance: {B, _}}], Lookup.members(pool, :chat)) end)
    send(b, :end)
    wait_until(fn -> Lookup.members(pool, :chat) == [] end)
    assert {:error, %Error{kind: :draining}} = Lookup.pick(pool, :chat, nil, 1_000)
    send(a, :end)
    wait_until(fn -> known(pool) == [] end)
  end

  test "who asks for an engine that is being built waits for it", %{pool: pool} do
    a = member(pool, A, chat: :building)
    wait_until(fn -> known(pool) != [] end)
    assert {:error, %Error{kind: :timeout} = error} = Lookup.pick(pool, :chat, nil, 0)
    assert error.message =~ "no member of #{inspect(pool)} had the engine :chat ready within 0 ms"
    waiting = Task.async(fn -> Lookup.pick(pool, :chat, nil, :infinity) end)
    failing = Task.async(fn -> Lookup.pick(pool, :other, nil, :infinity) end)
    assert {:error, %Error{kind: :not_found}} = Task.await(failing, :infinity)
    tell(a, chat: :ready)
    assert {:ok, %Ref{id: "Elixir.A chat"}} = Task.await(waiting, :infinity)
  end

  test "whoever waits is told that building has failed, or that the last member is lost",
       context do
    %{pool: pool} = context
    a = member(pool, A, chat: :building, embed: :building)
    wait_until(fn -> known(pool) != [] end)
    ask = fn engine -> Task.async(fn -> Lookup.pick(pool, engine, nil, :infinity) end) end
    {chat, embed} = {ask.(:chat), ask.(:embed)}
    wait_until(fn -> map_size(:sys.get_state(Lookup.process_name(pool)).waiting) == 2 end)
    tell(a, chat: {:failed, Error.new(:invalid, "no such model")}, embed: :building)

    assert {:error, %Error{kind: :invalid, message: "no such model"}} =
             Task.await(chat, :infinity)

    send(a, :end)
    assert {:error, %Error{kind: :worker_down}} = Task.await(embed, :infinity)
  end

  test "a load is taken once, and what was sent before is in it", %{pool: pool} do
    a = member(pool, A, [{:chat, :ready, 1, {4, 2, 250}}])
    wait_until(fn -> known(pool) != [] end)

    numbers = fn ->
      with {:ok, [row]} <- Pool.members(pool), do: Map.take(row, [:running, :waiting, :sent])
    end

    assert numbers.() == %{running: 4, waiting: 2, sent: 0}
    {:ok, _ref} = Lookup.pick(pool, :chat, nil, 0)
    # The same load again, such as with the report of another engine.
    tell(a, [{:chat, :ready, 1, {4, 2, 250}}, {:embed, :building}])
    wait_until(fn -> length(known(pool)) == 2 end)
    assert %{sent: 1} = pool |> Pool.members() |> elem(1) |> hd()
    tell(a, [{:chat, :ready, 2, {5, 0, 300}}])
    wait_until(fn -> numbers.() == %{running: 5, waiting: 0, sent: 0} end)
  end

  test "what was sent is forgotten when no load comes after it", %{pool: pool} do
    member(pool, A, chat: :ready)
    wait_until(fn -> known(pool) != [] end)
    {:ok, _ref} = Lookup.pick(pool, :chat, nil, 0)
    send(Lookup.process_name(pool), :forget)
    wait_until(fn -> match?({:ok, [%{sent: 0}]}, Pool.members(pool)) end)
  end

  test "an engine that was built anew begins without load", %{pool: pool} do
    a = member(pool, A, [{:chat, :ready, 1, {4, 2, 250}}])
    wait_until(fn -> known(pool) != [] end)
    tell(a, chat: :building)
    tell(a, chat: :ready)
    wait_until(fn -> match?({:ok, [%{state: :ready, running: 0}]}, Pool.members(pool)) end)
    assert map_size(:sys.get_state(Lookup.process_name(pool)).loads) == 1
  end

  test "a member that the pool starts is waited for before it has reported", context do
    pool = Module.concat(context.pool, "Own")
    own = {{Own.Vllm, node()}, [:chat]}
    start_supervised!({Members, {pool, [], [own]}}, id: pool)
    assert known(pool) == [{Own.Vllm, :chat, :starting}]
    waiting = Task.async(fn -> Lookup.pick(pool, :chat, nil, :infinity) end)
    wait_until(fn -> map_size(:sys.get_state(Lookup.process_name(pool)).waiting) == 1 end)
    :ok = Members.own(pool, {Own.Vllm, node()}, {:failed, Error.new(:worker_down, "no python")})
    assert {:error, %Error{message: "no python"}} = Task.await(waiting, :infinity)
    :ok = Members.own(pool, {Own.Vllm, node()}, :starting)
    member(pool, Own.Vllm, chat: :ready)
    assert {:ok, %Ref{}} = Lookup.pick(pool, :chat, nil, :infinity)
  end

  test "a listed member is looked for until it is there", context do
    pool = Module.concat(context.pool, "Listing")
    name = Module.concat(pool, "Listed")
    start_supervised!({Members, {pool, [{name, node()}], []}}, id: pool)
    assert known(pool) == [{name, nil, :absent}]
    test = self()

    {:ok, pid} =
      Task.start_link(fn ->
        Process.register(self(), Declared.process_name(name))
        receive do: ({:"$gen_cast", {:report_to, to}} -> report(to, test, name, chat: :ready))
      end)

    wait_until(fn -> known(pool) == [{name, :chat, :ready}] end)
    send(pid, :end)
    wait_until(fn -> known(pool) == [{name, nil, :absent}] end)
  end
end
