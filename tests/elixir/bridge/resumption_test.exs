defmodule Vllm.Bridge.ResumptionTest do
  # References of an instance whose session with a worker that was started elsewhere is lost and comes
  # back. The worker is that of another instance.
  use Vllm.BridgeCase, async: true

  import ExUnit.CaptureLog
  import Vllm.HandoverCase, only: [suspend_in: 2]

  alias Vllm.Core.Call.Caller
  alias Vllm.Core.{Connection, Worker}

  # No test waits so long.
  @long 600_000

  setup %{test: name, instance: instance} = context do
    {:ok, address, token} = Worker.address(Module.concat(instance, "Worker"))
    grace = Map.get(context, :grace, @long)
    options = [name: name, connect: address, token: token, disconnect_grace: grace]
    start_supervised!({Vllm, options}, id: name)
    %{name: name, address: address, engine: engine(name)}
  end

  test "are as before, until their owner ends", %{name: name, engine: engine} do
    {owner, thing} = own(engine)

    for _ <- 1..3 do
      lose(name)
      assert {:ok, _} = Vllm.call(thing, "greet")
    end

    finish(owner)
    control(engine, "wait_alive", [0])
    assert {:error, %Error{kind: :stale_ref}} = Vllm.call(thing, "greet")
  end

  test "calls and streams end, and say so", %{name: name, engine: engine} do
    call = Task.async(fn -> Vllm.call(engine, "wait_forever") end)
    {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), request_id())
    collecting = Task.async(fn -> Stream.collect(stream) end)
    wait_until(fn -> match?({:ok, %{calls: 2}}, Connection.info({name, node()})) end)
    lose(name)

    for task <- [call, collecting],
        do: assert({:error, %Error{kind: :worker_down}} = Task.await(task, :infinity))

    control(engine, "wait_requests", [0])
    assert AsyncLLM.check_health(engine) == {:ok, nil}
  end

  test "are released when the owner ended meanwhile", %{name: name, engine: engine} do
    {owner, _thing} = own(engine)
    {kept, thing} = own(engine)
    lose(name, fn -> finish(owner) end)
    control(engine, "wait_alive", [1])
    assert {:ok, _} = Vllm.call(thing, "greet")
    finish(kept)
    control(engine, "wait_alive", [0])
  end

  test "are released, and get owners, by what is said meanwhile", context do
    %{name: name, engine: engine} = context
    {owner, thing} = own(engine)
    mine = control(engine, "make", ["object"])

    lose(name, fn ->
      Vllm.release(mine)
      :ok = Vllm.share(thing, self())
    end)

    control(engine, "wait_alive", [1])
    finish(owner)
    # The connection has handled that.
    assert {:ok, _info} = Connection.info({name, node()})
    assert {:ok, _} = Vllm.call(thing, "greet")
    Vllm.release(thing)
    control(engine, "wait_alive", [0])
  end

  test "that were on their way are owned by who receives them", context do
    %{name: name, engine: engine} = context
    test = self()
    connection = Process.whereis(Module.concat(name, "Connection"))
    :erlang.suspend_process(connection)

    receiver =
      spawn_link(fn ->
        send(test, {:got, Vllm.call(engine, "make", ["object"])})
        receive do: (:end -> :ok)
      end)

    # The receiver stops where it waits, before its reply can come.
    suspend_in(receiver, Caller)
    :erlang.resume_process(connection)
    wait_until(fn -> mailbox(receiver) > 0 end)
    lose(name)
    :erlang.resume_process(receiver)
    assert_receive {:got, {:ok, thing}}
    assert {:ok, _} = Vllm.call(thing, "greet")
    finish(receiver)
    control(engine, "wait_alive", [0])
  end

  test "whenever the session is lost, none is left and none is lost", context do
    %{name: name, engine: engine} = context
    :rand.seed(:exsss, {1, 2, 3})

    for _ <- 1..8 do
      test = self()
      owners = for n <- 1..20, do: spawn_link(fn -> owner(test, engine, n) end)
      for _ <- 1..Enum.random(0..200)//1, do: :erlang.yield()
      lose(name)
      # Who was told that the session was lost asks again.
      things = for n <- 1..20, do: receive(do: ({:owns, ^n, thing} -> thing))
      for thing <- things, do: assert({:ok, _} = Vllm.call(thing, "greet"))
      control(engine, "wait_alive", [20])
      Enum.each(owners, &finish/1)
      control(engine, "wait_alive", [0])
    end
  end

  test "go at once when the instance is stopped", %{name: name, instance: instance} = context do
    {_owner, _thing} = own(context.engine)
    stop_supervised!(name)
    observer = engine(instance)
    control(observer, "wait_alive", [0])
  end

  @tag grace: 0
  test "go with the session where there is no grace time", %{name: name, engine: engine} do
    {_owner, thing} = own(engine)
    lose(name)
    assert {:error, %Error{kind: :stale_ref}} = Vllm.call(thing, "greet")
    control(engine, "wait_alive", [0])
  end

  test "go when the connection's process is killed, which has their record", context do
    %{name: name, engine: engine} = context
    {_owner, thing} = own(engine)
    lose(name, fn -> :ok end, &Process.exit(&1, :kill))
    control(engine, "wait_alive", [0])
    assert {:error, %Error{kind: :stale_ref}} = Vllm.call(thing, "greet")
  end

  # A process, and an object that it owns.
  defp own(engine) do
    test = self()
    n = System.unique_integer()
    owner = spawn_link(fn -> owner(test, engine, n) end)
    receive do: ({:owns, ^n, thing} -> {owner, thing})
  end

  defp owner(test, engine, n) do
    case Vllm.call(engine, "make", ["object"]) do
      {:ok, thing} ->
        send(test, {:owns, n, thing})
        receive do: (:end -> :ok)

      {:error, %Error{kind: :worker_down}} ->
        owner(test, engine, n)
    end
  end

  defp finish(pid) do
    monitor = Process.monitor(pid)
    Process.unlink(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}
  end

  # Ends the session and returns when there is another. `meanwhile` runs when the next process of the
  # connection waits for the worker.
  defp lose(name, meanwhile \\ fn -> :ok end, cut \\ &cut/1) do
    server = Module.concat(name, "Connection")
    connection = Process.whereis(server)

    {_result, _log} =
      with_log(fn ->
        cut.(connection)
        wait_until(fn -> Process.whereis(server) not in [connection, nil] end)
        meanwhile.()
        wait_until(fn -> match?({:ok, _info}, Connection.info({name, node()})) end)
      end)
  end

  # As a network that resets the connection: both sides hear of it.
  defp cut(connection) do
    %{socket: {:gen_tcp, socket}} = :sys.get_state(connection)
    :gen_tcp.shutdown(socket, :read_write)
  end
end
