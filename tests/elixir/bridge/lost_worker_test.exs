defmodule Vllm.Bridge.LostWorkerTest do
  # On every path on which a caller learns that the worker is lost, the first error says how it ended.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Error, OtherNode, RequestOutputCollector, Stream}
  alias Vllm.Core.{Connection, Worker}
  alias Vllm.Core.Instance.Locator

  @moduletag :bridge
  @moduletag :capture_log

  describe "a worker that is killed while an engine is built" do
    # A process that the worker has started holds its output, as those of an engine do: the exit status
    # is reported when it has ended.
    setup %{test: name} do
      {:ok, _} = start(name, grace: 50)
      engine = engine(name)
      child = control(engine, "start_child")
      builds = Task.async(fn -> build(name, 3600) end)
      %{instance: name, engine: engine, child: child, builds: builds, worker: worker(name)}
    end

    test "is named with its signal on every path", context do
      %{instance: instance, engine: engine, builds: builds} = context
      {:ok, collector} = AsyncLLM.add_request(engine, request_id(), "x", endless(1))
      {:ok, unread} = AsyncLLM.generate(engine, "x", endless(), request_id())
      {:ok, sent} = AsyncLLM.generate(engine, "x", endless(1), request_id(), to(self()))

      waiting = [
        Task.async(fn -> Vllm.call(engine, "wait_forever") end),
        Task.async(fn -> AsyncLLM.generate_collect(engine, "x", endless(1), request_id()) end),
        Task.async(fn -> streamed(engine) end),
        Task.async(fn -> got(collector) end),
        builds
      ]

      wait_until(fn -> match?({:ok, %{calls: 7}}, Connection.info({instance, node()})) end)
      kill(context.worker)

      for task <- waiting, do: assert_killed(Task.await(task, :infinity))
      assert_receive {:vllm, ^sent, {:error, error}}
      assert_killed({:error, error})
      # While the instance is restarting, and later.
      assert_killed(Stream.collect(unread))
      wait_until(fn -> not alive?(context.child) end)
      wait_until(fn -> match?({:ok, _}, Vllm.status(instance)) end)
      assert {:error, error} = Stream.collect(unread)
      assert error.message =~ "an earlier worker of "
      assert_killed({:error, error})
      assert Vllm.release(collector) == :ok
    end

    test "is named to those that ask while it is away", context do
      %{instance: instance, builds: builds} = context
      server = Locator.process_name(instance, "Connection")
      connection = Process.whereis(server)
      :sys.suspend(connection)

      # Their messages wait in the mailbox of a connection that does not read them any more.
      waiting =
        for ask <- [
              fn -> Vllm.status(instance) end,
              fn -> Vllm.metrics(instance) end,
              fn -> AsyncLLM.check_health(context.engine) end,
              fn -> build(instance, 0) end
            ],
            do: Task.async(ask)

      wait_until(fn -> Vllm.FakeWorkerCase.mailbox(connection) >= 4 end)
      kill(context.worker)
      wait_until(fn -> not alive?(context.worker) end)
      :sys.resume(connection)
      for task <- [builds | waiting], do: assert_killed(Task.await(task, :infinity))
    end
  end

  test "a declared engine that waits for its worker names the signal", %{test: name} do
    plan = %{"fake" => %{"build_seconds" => 3600}}
    options = [engines: [slow: [model: "fake", additional_config: plan]], grace: 50]
    {:ok, _} = start(name, options)
    asks = Task.async(fn -> Vllm.engine(name, :slow, :infinity) end)
    wait_until(fn -> match?({:ok, %{calls: 1}}, Connection.info({name, node()})) end)
    engines = Process.whereis(Locator.process_name(name, "Engines"))
    wait_until(fn -> map_size(:sys.get_state(engines).waiting) == 1 end)
    kill(worker(name))
    assert_killed(Task.await(asks, :infinity))
  end

  test "the last line of the log is in the first error", %{test: name} do
    {:ok, _} = start(name)
    engine = engine(name)
    call = Task.async(fn -> Vllm.call(engine, "wait_forever") end)
    :ok = Vllm.Test.print_megabytes(engine, 1)
    wait_until(fn -> match?({:ok, %{calls: 1}}, Connection.info({name, node()})) end)
    server = Locator.process_name(name, "Worker")
    wait_until(fn -> match?(["xxx" <> _ | _], Enum.reverse(Worker.info(server).log)) end)
    kill(worker(name))
    assert {:error, %Error{} = error} = Task.await(call, :infinity)
    assert error.message =~ "; its last line was: xxxx"
    assert [_ | _] = error.details["log"]
    assert Exception.message(error) =~ "its last lines were"
  end

  test "a worker that exits by itself is named with its status", %{test: name} do
    {:ok, _} = start(name)
    engine = engine(name)
    assert {:error, %Error{kind: :worker_down} = error} = Vllm.call(engine, "crash", [7])
    assert error.message =~ "the worker ended with exit status 7"
  end

  test "a session that ends while the worker runs says that it runs", %{test: name} do
    {:ok, _} = start(name)
    engine = engine(name)
    call = Task.async(fn -> Vllm.call(engine, "wait_forever") end)
    wait_until(fn -> match?({:ok, %{calls: 1}}, Connection.info({name, node()})) end)
    connection = Process.whereis(Locator.process_name(name, "Connection"))
    %{socket: {:gen_tcp, socket}} = :sys.get_state(connection)
    send(connection, {:tcp_closed, socket})
    assert {:error, %Error{kind: :worker_down} = error} = Task.await(call, :infinity)
    assert error.message =~ "closed the connection (its process still runs)"
  end

  test "another node is told how the worker ended" do
    peer = OtherNode.boot()
    options = [name: Far.Vllm, engine_class: engine_class(), log: false] ++ patience()
    {:ok, _} = OtherNode.call(peer, OtherNode, :start_instance, [options])
    {:ok, %{"pid" => worker}} = OtherNode.call(peer, Vllm, :status, [Far.Vllm])
    {:ok, engine} = OtherNode.call(peer, AsyncLLM, :from_engine_args, [Far.Vllm, [model: "x"]])
    kill(worker)
    assert_killed(until_lost(peer, engine))
    kill(OtherNode.call(peer, System, :pid, []))
  end

  # The end may not have been noticed yet.
  defp until_lost(peer, engine) do
    with {:ok, nil} <- OtherNode.call(peer, AsyncLLM, :check_health, [engine]),
         do: until_lost(peer, engine)
  end

  defp build(instance, seconds) do
    plan = %{"fake" => %{"build_seconds" => seconds}}
    AsyncLLM.from_engine_args(instance, model: "fake", additional_config: plan)
  end

  defp streamed(engine) do
    with {:ok, stream} <- AsyncLLM.generate(engine, "x", endless(1), request_id()),
         do: Stream.collect(stream)
  end

  defp got(collector) do
    with {:ok, _output} <- RequestOutputCollector.get(collector), do: got(collector)
  end

  defp to(pid), do: [rpc: [stream_to: pid]]

  defp worker(instance), do: Worker.info(Locator.process_name(instance, "Worker")).os_pid

  defp assert_killed(result) do
    assert {:error, %Error{kind: :worker_down} = error} = result
    assert error.message =~ "the worker ended with exit status 137 (signal 9)"
    assert error.message =~ "want of memory"
    assert %Error{} = error.cause
  end
end
