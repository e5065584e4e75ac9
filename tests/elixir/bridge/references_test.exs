defmodule Vllm.Bridge.ReferencesTest do
  use Vllm.BridgeCase, async: true

  test "an object without a value of its own is a reference that works", %{engine: engine} do
    assert %Ref{type: "Thing"} = thing = control(engine, "make", ["object"])
    assert control(thing, "greet", ["Elixir"]) =~ "greets Elixir"
    assert control(thing, "greet", [], whom: "you") =~ "greets you"
  end

  test "releasing frees the object, twice is harmless, and using it afterwards is an error",
       context do
    engine = own_engine(context)
    thing = control(engine, "make", ["object"])
    assert control(engine, "alive") == 1
    assert Vllm.release(thing) == :ok
    control(engine, "wait_alive", [0])
    assert Vllm.release(thing) == :ok
    assert {:error, %Error{kind: :stale_ref}} = Vllm.call(thing, "greet")
  end

  test "the end of its owner frees the object", context do
    engine = own_engine(context)
    task = Task.async(fn -> control(engine, "make", ["object"]) end)
    thing = Task.await(task, :infinity)
    control(engine, "wait_alive", [0])
    assert {:error, %Error{kind: :stale_ref}} = Vllm.call(thing, "greet")
  end

  test "a shared reference outlives its first owner", context do
    engine = own_engine(context)
    test = self()

    owner =
      spawn(fn ->
        send(test, {:thing, control(engine, "make", ["object"])})
        receive do: (:end -> :ok)
      end)

    monitor = Process.monitor(owner)
    assert_receive {:thing, thing}
    assert Vllm.share(thing) == :ok
    send(owner, :end)
    assert_receive {:DOWN, ^monitor, _, _, _}
    assert {:ok, greeting} = Vllm.call(thing, "greet")
    assert greeting =~ "greets"
    Vllm.release(thing)
    control(engine, "wait_alive", [0])
  end

  test "an object that was sent twice lives until it is released", context do
    engine = own_engine(context)
    thing = control(engine, "make", ["object"])
    assert control(thing, "itself").id == thing.id
    assert control(engine, "alive") == 1
    Vllm.release(thing)
    control(engine, "wait_alive", [0])
  end

  test "a reference works as an argument and from another process", %{engine: engine} do
    thing = control(engine, "make", ["object"])

    assert %Ref{id: id} =
             Task.async(fn -> control(engine, "echo", [thing]) end) |> Task.await(:infinity)

    assert id == thing.id
  end

  test "a forged reference is refused", %{engine: engine} do
    forged = %{engine | id: "ffffffffffffffff"}
    assert {:error, %Error{kind: :stale_ref}} = Vllm.call(forged, "check_health")

    forged = %{engine | incarnation: String.duplicate("0", 32)}
    assert {:error, %Error{kind: :stale_ref}} = Vllm.call(forged, "check_health")
  end

  test "an engine outlives the process that built it", %{instance: instance} do
    engine = Task.async(fn -> engine(instance) end) |> Task.await(:infinity)
    assert Vllm.AsyncLLM.is_running(engine) == {:ok, true}
  end

  test "an engine that is linked is shut down with its owner", %{instance: instance} do
    test = self()

    owner =
      spawn(fn ->
        {:ok, engine} = AsyncLLM.from_engine_args(instance, [model: "x"], rpc: [link: true])

        send(test, {:engine, engine})
        receive do: (:end -> :ok)
      end)

    assert_receive {:engine, engine}
    assert AsyncLLM.is_running(engine) == {:ok, true}
    send(owner, :end)
    wait_until(fn -> not match?({:ok, true}, AsyncLLM.is_running(engine)) end)
  end

  describe "callers that are killed at any moment leave nothing" do
    @killed 500
    # Milliseconds from the start of a caller to its end.
    @moments 0..5

    test "of values, of streams and of requests", context do
      engine = own_engine(context)

      actions = [
        fn -> control(engine, "make", ["object"]) end,
        fn -> control(engine, "make", ["objects"]) end,
        fn -> AsyncLLM.vllm_config(engine) end,
        fn -> AsyncLLM.get_tokenizer(engine) end,
        fn -> AsyncLLM.add_request(engine, request_id(), "x", endless()) end,
        fn -> engine |> control("make_each", ["objects", 20]) |> Enum.to_list() end,
        fn -> engine |> control("make_each", ["object", 20]) |> Enum.take(2) end,
        fn -> control(engine, "make_each", ["object", 20]) end,
        fn -> control(engine, "make_each", ["object", 20], rpc: [stream_to: self()]) end,
        fn -> AsyncLLM.from_engine_args(context.test, [model: "x"], rpc: [link: true]) end
      ]

      for callers <- Enum.chunk_every(1..@killed, 50) do
        callers
        |> Enum.map(fn n ->
          {pid, monitor} = spawn_monitor(fn -> call_and_stay(Enum.at(actions, rem(n, 10))) end)
          {:ok, _timer} = :timer.kill_after(Enum.random(@moments), pid)
          monitor
        end)
        |> Enum.each(fn monitor -> assert_receive {:DOWN, ^monitor, _, _, :killed} end)
      end

      assert_nothing_left(context, engine)
    end

    test "that hand what they got to others", context do
      engine = own_engine(context)
      heirs = for _ <- 1..10, do: spawn(fn -> heir() end)

      monitors =
        for n <- 1..@killed do
          heir = Enum.at(heirs, rem(n, 10))

          {pid, monitor} =
            spawn_monitor(fn ->
              call_and_stay(fn ->
                thing = control(engine, "make", ["object"])
                Vllm.share(thing, heir)
                send(heir, thing)
              end)
            end)

          {:ok, _timer} = :timer.kill_after(Enum.random(@moments), pid)
          monitor
        end

      for monitor <- monitors, do: assert_receive({:DOWN, ^monitor, _, _, :killed})

      # What an heir was given lives with it.
      for heir <- heirs do
        send(heir, {:greet, self()})
        assert_receive {:greetings, greetings}
        assert Enum.all?(greetings, &match?({:ok, _}, &1))
        Process.exit(heir, :kill)
      end

      assert_nothing_left(context, engine)
    end

    test "by Task.async_stream", context do
      engine = own_engine(context)

      outcomes =
        1..@killed
        |> Task.async_stream(
          fn n ->
            things = control(engine, "make", ["objects"])
            if rem(n, 2) == 0, do: control(engine, "wait_forever")
            things
          end,
          max_concurrency: 50,
          timeout: 20,
          on_timeout: :kill_task
        )
        |> Enum.frequencies_by(&elem(&1, 0))

      assert %{exit: _killed} = outcomes
      assert_nothing_left(context, engine)
    end
  end

  test "a caller that lives owns what it got, and nothing of calls that ended with :timeout",
       context do
    engine = own_engine(context)
    test = self()

    callers =
      for _ <- 1..200 do
        spawn(fn ->
          send(test, {:got, Vllm.call(engine, "make", ["objects"], rpc: [timeout: 1])})
          receive do: (:end -> :ok)
        end)
      end

    results = for _ <- callers, do: assert_receive({:got, result}) && result
    {values, errors} = Enum.split_with(results, &match?({:ok, _}, &1))
    for error <- errors, do: assert({:error, %Error{kind: :timeout}} = error)
    control(engine, "wait_alive", [2 * length(values)])
    for caller <- callers, do: send(caller, :end)
    assert_nothing_left(context, engine)
  end

  test "an engine that a killed caller only asked for lives on", %{engine: engine} do
    for _ <- 1..50 do
      {pid, monitor} = spawn_monitor(fn -> control(engine, "echo", [engine]) end)
      {:ok, _timer} = :timer.kill_after(Enum.random(0..2), pid)
      assert_receive {:DOWN, ^monitor, _, _, _}
    end

    assert AsyncLLM.is_running(engine) == {:ok, true}
  end

  defp call_and_stay(action) do
    action.()
    receive do: (:end -> :ok)
  end

  defp heir(things \\ []) do
    receive do
      {:greet, test} ->
        send(test, {:greetings, Enum.map(things, &Vllm.call(&1, "greet"))})
        heir(things)

      %Ref{} = thing ->
        heir([thing | things])
    end
  end

  # But the engine of the test.
  defp assert_nothing_left(%{test: name}, engine) do
    control(engine, "wait_alive", [0])
    control(engine, "wait_requests", [0])
    wait_until(fn -> match?({:ok, %{"references" => 1, "engines" => [_]}}, Vllm.status(name)) end)
  end

  # Counting objects needs a worker of its own.
  defp own_engine(%{test: name}) do
    {:ok, _pid} = start(name)
    engine(name)
  end
end
