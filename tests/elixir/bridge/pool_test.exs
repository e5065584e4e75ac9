defmodule Vllm.Bridge.PoolTest do
  # Several workers behind one name: which of them gets a request, and what happens to it when that one
  # stops or dies.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Error, Pool, Ref, Stream}

  @moduletag bridge: true, timeout: 600_000, capture_log: true

  @fake [engine_class: engine_class(), log: false, grace: 100] ++ patience()

  # For tests that leave the members as they are.
  @pool __MODULE__
  @a Module.concat(__MODULE__, "A")
  @b Module.concat(__MODULE__, "B")

  setup_all do
    only = [name: @b, engines: [chat: [model: "b"], only_b: [model: "b"]]] ++ @fake
    {:ok, _} = start_supervised({Pool, name: @pool, members: [@a, only]}, id: @pool)
    {:ok, _} = start(@a, [engines: [chat: [model: "a"]], pool: @pool] ++ @fake)
    ready(@pool, :chat, 2)
    :ok
  end

  defp ready(pool, engine, count) do
    wait_until(fn ->
      {:ok, members} = Pool.members(pool)
      Enum.count(members, &(&1.engine == engine and &1.state == :ready)) == count
    end)
  end

  defp start_pool(context, count, options \\ []) do
    members =
      for number <- 1..count,
          do: Keyword.merge([engines: [chat: [model: "m#{number}"]]] ++ @fake, options)

    {:ok, _} = start_supervised({Pool, name: context.test, members: members}, id: context.test)
    ready(context.test, :chat, count)
    {:ok, members} = Pool.members(context.test)
    for %{instance: {name, _node}} <- members, do: name
  end

  defp instance_of({:ok, %Ref{instance: {name, _node}}}), do: name

  describe "a pool's name" do
    test "stands where an engine does" do
      assert {:ok, %Vllm.ChatCompletion{}} = Vllm.chat({@pool, :chat}, "Hello", max_tokens: 4)
      {:ok, deltas} = Vllm.stream_chat({@pool, :chat}, "Hello", max_tokens: 4)
      assert Enum.count(deltas) > 0
      params = [max_tokens: 4]
      assert {:ok, stream} = AsyncLLM.generate({@pool, :chat}, "Hello", params, request_id())
      assert {:ok, %{finished: true}} = Stream.collect(stream)

      assert {:ok, %{finished: true}} =
               AsyncLLM.generate_collect({@pool, :chat}, "Hello", params, request_id())

      assert {:ok, %Ref{}} = Vllm.engine(@pool, :chat)
      serving = Vllm.Serving.new({@pool, :chat}, max_tokens: 4)
      assert {:ok, [%{results: [_]}, _]} = Vllm.Serving.run(serving, ["One", "Two"])
    end

    test "stands where an engine does for messages to a process" do
      to = [rpc: [stream_to: self()]]
      {:ok, stream} = AsyncLLM.generate({@pool, :chat}, "x", [max_tokens: 2], request_id(), to)
      assert_receive {:vllm, ^stream, :done}
    end

    test "takes a prompt that is an enumerable" do
      prompt = Elixir.Stream.map(["one", "two"], & &1)

      assert {:ok, stream} =
               AsyncLLM.generate({@pool, :chat}, prompt, [max_tokens: 1], request_id())

      assert Enum.count(stream) > 0
    end

    test "is one name of many: an instance's engine is named likewise, and takes every call" do
      assert {:ok, %Vllm.ChatCompletion{}} = Vllm.chat({@a, :chat}, "Hello", max_tokens: 4)
      assert AsyncLLM.is_sleeping({@a, :chat}) == {:ok, false}
      assert AsyncLLM.is_sleeping({{@a, node()}, :chat}) == {:ok, false}

      assert {:error, %Error{kind: :not_found} = error} = Vllm.chat({@a, :other}, "Hello")
      assert error.message =~ "has no engine :other"
    end

    test "is refused for what is meant for one engine, with the words what to do" do
      for call <- [
            fn -> AsyncLLM.sleep({@pool, :chat}) end,
            fn -> AsyncLLM.add_lora({@pool, :chat}, %Vllm.LoRARequest{}) end,
            fn -> Vllm.kv_events({@pool, :chat}) end,
            fn -> Vllm.call({@pool, :chat}, "get_tokenizer") end
          ] do
        assert {:error, %Error{kind: :invalid} = error} = call.()
        assert error.message =~ "Vllm.Pool.each(#{inspect(@pool)}, :chat, fun)"
        assert error.message =~ "Vllm.Pool.pick(#{inspect(@pool)}, :chat)"
      end

      for call <- [
            fn -> AsyncLLM.from_engine_args(@pool, model: "x") end,
            fn -> Vllm.status(@pool) end,
            fn -> Vllm.engines(@pool) end
          ] do
        assert {:error, %Error{kind: :invalid} = error} = call.()
        assert error.message =~ "is a pool, and this is a call to one instance"
      end
    end
  end

  describe "engines" do
    test "that only one member has are asked for there" do
      for _ <- 1..20, do: assert(instance_of(Pool.pick(@pool, :only_b)) == @b)
      assert {:ok, %{model: "b"}} = Vllm.chat({@pool, :only_b}, "Hello", max_tokens: 2)
    end

    test "that no member has are an error which says what they have" do
      for result <- [
            Vllm.chat({@pool, :none}, "x"),
            Pool.pick(@pool, :none),
            Vllm.engine(@pool, :none)
          ] do
        assert {:error, %Error{kind: :not_found} = error} = result
        assert error.message =~ "no member of #{inspect(@pool)} has an engine :none"
        assert error.message =~ "#{inspect(@a)} has :chat"
        assert error.message =~ "#{inspect(@b)} has :chat, :only_b"
      end
    end

    test "are each called once by each/3" do
      assert {:ok, results} = Pool.each(@pool, :chat, &AsyncLLM.is_sleeping/1)
      assert results == [{{@a, node()}, {:ok, false}}, {{@b, node()}, {:ok, false}}]
      assert {:error, %Error{kind: :not_found}} = Pool.each(@pool, :none, & &1)
      assert {:error, %Error{kind: :invalid}} = Pool.each(@pool, :chat, :no_function)
    end
  end

  describe "the load" do
    test "comes from the workers, and requests go where there is least" do
      {:ok, engine} = Vllm.engine(@a, :chat)
      for _ <- 1..20, do: {:ok, _} = AsyncLLM.generate(engine, "x", endless(), request_id())
      wait_until(fn -> %{running: 20} == Map.take(row(@a), [:running]) end)
      asked = for _ <- 1..10, do: instance_of(Vllm.engine(@pool, :chat))
      assert asked == List.duplicate(@b, 10)
    end

    test "is told when it is over, without other traffic" do
      {:ok, engine} = Vllm.engine(@b, :only_b)
      {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), request_id())
      wait_until(fn -> row(@b, :only_b).running == 1 end)
      :ok = Stream.cancel(stream)
      wait_until(fn -> row(@b, :only_b).running == 0 end)
    end

    test "is spread while nothing has been reported", context do
      start_pool(context, 2)

      tasks =
        for _ <- 1..40, do: Task.async(fn -> instance_of(Pool.pick(context.test, :chat)) end)

      assert tasks |> Task.await_many(:infinity) |> Enum.uniq() |> length() == 2
    end
  end

  defp row(instance, engine \\ :chat) do
    {:ok, members} = Pool.members(@pool)
    Enum.find(members, &(&1.instance == {instance, node()} and &1.engine == engine))
  end

  test "requests with the same key go to the same member" do
    # Other tests have ended, and their requests with them.
    wait_until(fn -> row(@a).running == 0 and row(@b).running == 0 end)

    by_key =
      for key <- 1..20, into: %{} do
        {:ok, %Ref{} = engine} = Pool.pick(@pool, :chat, affinity: key)
        {key, engine}
      end

    assert by_key |> Map.values() |> Enum.uniq() |> length() == 2

    for {key, engine} <- by_key do
      assert {:ok, ^engine} = Pool.pick(@pool, :chat, affinity: key)

      assert {:ok, stream} =
               AsyncLLM.generate({@pool, :chat}, "x", [max_tokens: 1], request_id(),
                 rpc: [affinity: key]
               )

      assert stream.ref == engine
      {:ok, _} = Stream.collect(stream)

      assert {:ok, %{model: model}} =
               Vllm.chat({@pool, :chat}, "x", max_tokens: 1, rpc: [affinity: key])

      assert model == if(instance_of({:ok, engine}) == @a, do: "a", else: "b")
    end
  end

  test "2,000 requests lose nothing that was not accepted when a worker is killed", context do
    [first | _] = start_pool(context, 2)
    {:ok, %{"pid" => pid}} = Vllm.status(first)
    done = :counters.new(1, [])

    requests =
      Task.async(fn ->
        1..2_000
        |> Task.async_stream(&ask(&1, context.test, done), max_concurrency: 32, timeout: :infinity)
        |> Enum.frequencies_by(fn {:ok, outcome} -> outcome end)
      end)

    wait_until(fn -> :counters.get(done, 1) >= 500 end)
    kill(pid)
    outcomes = Task.await(requests, :infinity)
    # Those that were accepted end as they do without a pool.
    assert {0, _} = {Map.get(outcomes, :refused, 0), outcomes}
    assert Map.keys(outcomes) -- [:ok, {:accepted, :worker_down}] == []
    assert outcomes.ok + Map.get(outcomes, {:accepted, :worker_down}, 0) == 2_000
    assert Map.get(outcomes, {:accepted, :worker_down}, 0) <= 32
    # The instance starts another worker, which is a member again.
    ready(context.test, :chat, 2)
  end

  # Every other one is a chat, which has no moment of acceptance before its answer.
  defp ask(number, pool, done) do
    :counters.add(done, 1, 1)
    params = [max_tokens: 8, output_kind: :DELTA]

    if rem(number, 2) == 0 do
      case Vllm.chat({pool, :chat}, "Hello", max_tokens: 8) do
        {:ok, _answer} -> :ok
        {:error, _error} -> :refused
      end
    else
      with {:ok, stream} <- AsyncLLM.generate({pool, :chat}, "Hello", params, "r#{number}") do
        case Stream.collect(stream) do
          {:ok, _output} -> :ok
          {:error, error} -> {:accepted, error.kind}
        end
      else
        {:error, _error} -> :refused
      end
    end
  end

  test "a member that drains gets no new requests, and ends those that it has", context do
    [first, second] = start_pool(context, 2, grace: 60_000)
    {:ok, engine} = Vllm.engine(first, :chat)
    {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), request_id())
    reading = Task.async(fn -> Enum.count(stream) end)
    done = :counters.new(1, [])

    # Those that the member has when it begins to stop have the time to end.
    requests =
      Task.async(fn ->
        1..600
        |> Task.async_stream(&ask(&1, context.test, done), max_concurrency: 16, timeout: :infinity)
        |> Enum.frequencies_by(fn {:ok, outcome} -> outcome end)
      end)

    wait_until(fn -> :counters.get(done, 1) >= 100 end)
    stopping = Task.async(fn -> Supervisor.stop(first, :shutdown, :infinity) end)
    wait_until(fn -> state(context.test, first) == :draining end)

    assert Task.await(requests, :infinity) == %{ok: 600}
    assert instance_of(Vllm.engine(context.test, :chat)) == second
    {:ok, nil} = AsyncLLM.abort({second, :chat}, "nothing")
    # It is still served by the member that drains.
    assert Task.yield(reading, 0) == nil
    Task.shutdown(reading, :brutal_kill)
    Task.await(stopping, :infinity)
    # The pool starts its own member again.
    ready(context.test, :chat, 2)
  end

  defp state(pool, instance) do
    {:ok, members} = Pool.members(pool)
    Enum.find_value(members, &(&1.instance == {instance, node()} and &1.state))
  end

  test "a member without a place, and one that refuses, pass the request on", context do
    [first, second] = start_pool(context, 2)
    {:ok, busy} = Vllm.engine(first, :chat)
    Vllm.Test.refuse_admission(busy)

    keys =
      for key <- 1..20,
          instance_of(Pool.pick(context.test, :chat, affinity: key)) == first,
          do: key

    assert keys != []

    for key <- keys do
      assert {:ok, stream} =
               AsyncLLM.generate({context.test, :chat}, "x", [max_tokens: 1], request_id(),
                 rpc: [affinity: key]
               )

      assert {second, node()} == stream.instance
    end
  end

  test "an instance that does not start is told of, and the others serve", context do
    members = [
      [engines: [chat: [model: "x"]]] ++ @fake,
      [
        name: :nowhere,
        connect: "unix:/nowhere/at/all",
        start_timeout: 0,
        engines: [far: [model: "x"]]
      ]
    ]

    {:ok, _} = start_supervised({Pool, name: context.test, members: members})
    # It waits for the one that is starting.
    assert {:ok, _} = Vllm.chat({context.test, :chat}, "x", max_tokens: 1)
    wait_until(fn -> match?({:failed, _}, state(context.test, :nowhere)) end)
    assert {:error, %Error{kind: :worker_down} = error} = Vllm.chat({context.test, :far}, "x")
    assert error.message =~ "/nowhere/at/all"
  end

  test "without members, or with none that runs, the error says so", context do
    {:ok, _} = start_supervised({Pool, name: context.test})
    assert {:error, %Error{kind: :worker_down} = error} = Vllm.chat({context.test, :chat}, "x")
    assert error.message =~ "has no members now"
    assert Pool.members(context.test) == {:ok, []}

    listed = Module.concat(context.test, "Listed")
    options = [name: listed, members: [Absent.One, {Absent.Two, :no@where}]]
    {:ok, _} = start_supervised({Pool, options}, id: listed)
    assert {:error, %Error{kind: :worker_down} = error} = Pool.pick(listed, :chat)
    assert error.message =~ "Absent.One, Absent.Two on no@where"
    assert {:ok, [%{state: :absent}, %{state: :absent}]} = Pool.members(listed)
  end

  test "an instance that is listed is found when it starts", context do
    late = Module.concat(context.test, "Late")
    {:ok, _} = start_supervised({Pool, name: context.test, members: [late]})
    assert {:ok, [%{state: :absent}]} = Pool.members(context.test)
    {:ok, _} = start(late, [engines: [chat: [model: "m"]]] ++ @fake)
    ready(context.test, :chat, 1)
  end

  test "options that are wrong are refused at the start", context do
    Process.flag(:trap_exit, true)

    for {members, said} <- [
          {:x, "must be a list of instances"},
          {[nil], "must be a list of instances"},
          {[[]], "must be a list of instances"},
          {[A, A], "given twice"},
          {[[name: B, engines: 1]], "option :engines in the options of Vllm"},
          {[[name: B, connect: []]], "option :connect"}
        ] do
      assert {:error, %Error{kind: :invalid} = error} =
               Pool.start_link(name: context.test, members: members)

      assert error.message =~ said
    end

    assert {:error, %Error{kind: :invalid}} = Pool.start_link(name: nil)
    assert {:error, %Error{kind: :not_found}} = Pool.pick(NoSuch.Pool, :chat)
    assert {:error, %Error{kind: :not_found}} = Pool.members(NoSuch.Pool)
  end
end
