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

  # Counting objects needs a worker of its own.
  defp own_engine(%{test: name}) do
    {:ok, _pid} = start(name)
    engine(name)
  end
end
