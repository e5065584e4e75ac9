defmodule Vllm.Bridge.InstanceTest do
  use ExUnit.Case, async: true

  import Vllm.BridgeCase
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Error, OtherNode, Stream}

  @moduletag :bridge

  describe "when the worker is killed" do
    setup %{test: name} do
      {:ok, _supervisor} = start(name)
      %{instance: name, engine: engine(name)}
    end

    test "every call and stream is answered at once", %{instance: instance, engine: engine} do
      calls = for _ <- 1..20, do: Task.async(fn -> Vllm.call(engine, "wait_forever") end)

      {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), request_id())
      enumeration = Task.async(fn -> Stream.collect(stream) end)
      wait_until(fn -> match?({:ok, %{calls: 21}}, client(instance)) end)

      kill(worker_pid(instance))

      for task <- [enumeration | calls] do
        assert {:error, %Error{kind: :worker_down}} = Task.await(task, :infinity)
      end
    end

    test "it restarts, and its references are stale", %{instance: instance, engine: engine} do
      before = worker_pid(instance)
      kill(before)
      wait_until(fn -> match?({:ok, %{pid: pid}} when pid != before, client(instance)) end)
      assert {:error, %Error{kind: :stale_ref}} = AsyncLLM.check_health(engine)
      assert inspect(engine) =~ "#Vllm.Ref<AsyncLLM"
      assert AsyncLLM.check_health(engine(instance)) == {:ok, nil}
    end

    test "its child processes end with it", %{instance: instance, engine: engine} do
      child = control(engine, "start_child")
      assert alive?(child)
      kill(worker_pid(instance))
      wait_until(fn -> not alive?(child) end)
    end
  end

  test "a worker that ends repeatedly makes the instance give up", context do
    Process.flag(:trap_exit, true)

    {:ok, supervisor} =
      Vllm.start_link(
        [name: context.test, engine_class: engine_class(), log: :debug] ++
          [max_restarts: 1, max_seconds: 300] ++ patience()
      )

    for _ <- 1..2 do
      wait_until(fn -> match?({:ok, _}, client(context.test)) end)
      pid = worker_pid(context.test)
      kill(pid)
      wait_until(fn -> not match?({:ok, %{pid: ^pid}}, client(context.test)) end)
    end

    assert_receive {:EXIT, ^supervisor, :shutdown}
  end

  test "the worker and its child processes end when the BEAM is killed" do
    # Ends as an operating system process, so its controlling process must not be linked.
    peer = OtherNode.boot()
    options = [name: Killed.Vllm, engine_class: engine_class(), log: false] ++ patience()
    {:ok, _} = OtherNode.call(peer, OtherNode, :start_instance, [options])
    {:ok, engine} = OtherNode.call(peer, AsyncLLM, :from_engine_args, [Killed.Vllm, [model: "x"]])
    {:ok, child} = OtherNode.call(peer, Vllm, :call, [engine, "start_child"])
    {:ok, %{"pid" => worker}} = OtherNode.call(peer, Vllm, :status, [Killed.Vllm])
    assert alive?(worker) and alive?(child)
    beam = OtherNode.call(peer, System, :pid, [])
    kill(beam)
    wait_until(fn -> not alive?(worker) and not alive?(child) end)
  end

  test "stopping an instance leaves no process and no file", context do
    {:ok, _supervisor} = start(context.test)
    engine = engine(context.test)
    child = control(engine, "start_child")
    pid = worker_pid(context.test)
    {:ok, "unix:" <> socket, _token} = Vllm.Core.Worker.address(worker(context.test))
    assert File.exists?(socket)
    :ok = stop_supervised(context.test)
    wait_until(fn -> not alive?(pid) and not alive?(child) end)
    refute File.exists?(Path.dirname(socket))
  end

  test "a missing interpreter is an error with advice", context do
    Process.flag(:trap_exit, true)

    assert {:error, %Error{kind: :worker_down} = error} =
             Vllm.start_link(name: context.test, python: "/nowhere/python")

    assert error.message =~ "mix vllm.setup"
  end

  test "an engine class that does not exist is an error that names it", context do
    Process.flag(:trap_exit, true)
    options = [name: context.test, engine_class: "no.such:Class", log: :debug] ++ patience()

    {:ok, supervisor} = Vllm.start_link(options)
    assert {:error, error} = AsyncLLM.from_engine_args(context.test, model: "x")
    assert error.message =~ "No module named 'no'"
    Supervisor.stop(supervisor)
  end

  test "an unknown option is an error that names it", context do
    assert {:error, %Error{kind: :invalid} = error} =
             Vllm.start_link(name: context.test, pyhton: "x")

    assert error.message =~ ":pyhton"
  end

  test "a worker started elsewhere is attached by its address and token", context do
    owner = :"#{context.test} owner"
    {:ok, _} = start(owner, listen: {:tcp, 0})
    {:ok, address, token} = Vllm.Core.Worker.address(worker(owner))

    Process.flag(:trap_exit, true)
    options = [name: context.test, connect: address]
    assert {:error, %Error{kind: :unauthenticated}} = Vllm.start_link(options ++ [token: "wrong"])

    {:ok, supervisor} = Vllm.start_link(options ++ [token: token])
    assert AsyncLLM.check_health(engine(context.test)) == {:ok, nil}
    Supervisor.stop(supervisor)
  end

  describe "the default instance" do
    setup do
      default = Application.get_env(:vllm_bridge, :default)
      options = [engine_class: engine_class(), log: :debug] ++ patience()
      Application.put_env(:vllm_bridge, :default, options)

      on_exit(fn ->
        if default, do: Application.put_env(:vllm_bridge, :default, default)
        unless default, do: Application.delete_env(:vllm_bridge, :default)

        for {_, pid, _, _} <- DynamicSupervisor.which_children(Vllm.DefaultSupervisor) do
          DynamicSupervisor.terminate_child(Vllm.DefaultSupervisor, pid)
        end
      end)
    end

    test "is started once by many first callers" do
      engines =
        1..10
        |> Enum.map(fn n ->
          Task.async(fn -> AsyncLLM.from_engine_args(model: "m#{n}") end)
        end)
        |> Task.await_many(:infinity)

      assert Enum.all?(engines, &match?({:ok, _}, &1))

      assert engines |> Enum.map(fn {:ok, ref} -> ref.incarnation end) |> Enum.uniq() |> length() ==
               1

      assert [_one] = DynamicSupervisor.which_children(Vllm.DefaultSupervisor)
    end
  end

  defp worker(instance), do: Vllm.Core.Instance.Locator.process_name(instance, "Worker")
  defp worker_pid(instance), do: Vllm.Core.Worker.info(worker(instance)).os_pid
  defp client(instance), do: Vllm.Core.Connection.info({instance, node()})
end
