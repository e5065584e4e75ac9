defmodule Vllm.Bridge.AttachTest do
  # A worker that is started elsewhere, ends and is started again: `connect:`.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Error, Stream}
  alias Vllm.Core.Connection

  @moduletag :bridge

  setup %{test: name} = context do
    folder = Path.join(System.tmp_dir!(), "attach-#{System.unique_integer([:positive])}")
    File.mkdir!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    {address, token} = place(Map.get(context, :transport, :unix), folder)
    worker = by_hand(address, token)
    options = [name: name, connect: address, token: token, max_restarts: 1, max_seconds: 300]
    supervisor = start_supervised!({Vllm, options})
    given = %{address: address, token: token, folder: folder}
    Map.merge(given, %{worker: worker, supervisor: supervisor})
  end

  defp place(:unix, folder), do: {"unix:" <> Path.join(folder, "s"), ""}

  defp place(:tcp, _folder), do: {"tcp:127.0.0.1:#{reserved_port()}", "a token for tests"}

  # Below the ports that the kernel assigns, so that no other process gets it while the worker is away.
  defp reserved_port do
    # The worker serves gRPC at the next one.
    port = 2 * Enum.random(10_000..16_000)
    if free?(port) and free?(port + 1), do: port, else: reserved_port()
  end

  defp free?(port) do
    case :gen_tcp.listen(port, ip: {127, 0, 0, 1}, reuseaddr: true) do
      {:ok, socket} -> :gen_tcp.close(socket) == :ok
      {:error, :eaddrinuse} -> false
    end
  end

  # Twice is more often than these instances may restart a worker of their own.
  for {transport, times} <- [unix: 2, tcp: 1] do
    @tag transport: transport
    test "over #{transport} its end is reported, and the session is opened again each time it returns",
         context do
      %{test: name, supervisor: supervisor} = context

      Enum.reduce(1..unquote(times), context.worker, fn _, worker ->
        engine = engine(name)
        call = Task.async(fn -> Vllm.call(engine, "wait_forever") end)
        {:ok, stream} = AsyncLLM.generate(engine, "x", endless(), request_id())
        collecting = Task.async(fn -> Stream.collect(stream) end)
        wait_until(fn -> match?({:ok, %{calls: 2}}, Connection.info({name, node()})) end)
        kill(worker)

        for task <- [call, collecting] do
          assert {:error, %Error{kind: :worker_down}} = Task.await(task, :infinity)
        end

        wait_until(fn -> match?({:error, _}, AsyncLLM.check_health(engine)) end)
        again = by_hand(context.address, context.token)
        wait_until(fn -> match?({:ok, %{"pid" => ^again}}, Vllm.status(name)) end)
        assert {:error, %Error{kind: :stale_ref}} = AsyncLLM.check_health(engine)
        assert AsyncLLM.check_health(engine(name)) == {:ok, nil}
        again
      end)

      assert Process.alive?(supervisor)
    end
  end

  describe "with several addresses" do
    test "the first that can be reached is taken, and they are tried again after a loss",
         context do
      name = Module.concat(context.test, "Several")
      other = "unix:" <> Path.join(context.folder, "other")
      nowhere = "unix:" <> Path.join(context.folder, "nowhere")
      connect = [nowhere, context.address, other]
      start_supervised!({Vllm, [name: name, connect: connect]}, id: name)
      engine = engine(name)
      kill(context.worker)
      wait_until(fn -> away?(name) end)
      tried = for address <- connect, do: "cannot connect to the worker at #{address}"
      wait_until(fn -> Enum.all?(tried, &String.contains?(said(name), &1)) end)
      second = by_hand(other, "")
      wait_until(fn -> match?({:ok, %{"pid" => ^second}}, Vllm.status(name)) end)
      # It is another worker.
      assert {:error, %Error{kind: :stale_ref}} = AsyncLLM.check_health(engine)
    end

    test "references are valid at another address of the same worker", context do
      name = Module.concat(context.test, "Several")
      both = for part <- ~w(one two), do: "unix:" <> Path.join(context.folder, part)
      pid = by_hand(both, "")
      start_supervised!({Vllm, [name: name, connect: both]}, id: name)
      engine = engine(name)
      "unix:" <> path = hd(both)
      File.rm!(path)
      connection = Process.whereis(Module.concat(name, "Connection"))
      Process.exit(connection, :kill)

      wait_until(fn ->
        Process.whereis(Module.concat(name, "Connection")) not in [connection, nil]
      end)

      wait_until(fn -> AsyncLLM.check_health(engine) == {:ok, nil} end)
      assert {:ok, %{"pid" => ^pid}} = Vllm.status(name)
    end

    test "an error that waiting does not change is returned if no other may be reached",
         context do
      Process.flag(:trap_exit, true)
      "unix:" <> path = context.address
      wrong = "unix:" <> path <> ".grpc"
      options = [name: :several_wrong, connect: [wrong, wrong], start_timeout: 600_000]
      assert {:error, %Error{kind: :protocol} = error} = Vllm.start_link(options)
      assert error.message =~ "sessions are opened at"
    end
  end

  defp said(name) do
    {:error, %Error{kind: :worker_down} = error} = Vllm.status(name)
    error.message
  end

  test "while it is away, calls fail at once", %{test: name} = context do
    kill(context.worker)

    wait_until(fn -> away?(name) end)

    assert {:error, %Error{kind: :worker_down} = error} = Vllm.status(name)
    assert error.message =~ context.address
    assert {:error, ^error} = Connection.info({name, node()})
  end

  test "its end is known where it was started, which the first error says",
       %{test: name} = context do
    engine = engine(name)
    call = Task.async(fn -> Vllm.call(engine, "wait_forever") end)
    wait_until(fn -> match?({:ok, %{calls: 1}}, Connection.info({name, node()})) end)
    kill(context.worker)
    assert {:error, %Error{kind: :worker_down} = error} = Task.await(call, :infinity)
    assert error.message =~ "closed the connection (how it ended is known where it was started)"
  end

  test "while it is away, unknown messages end nothing", %{test: name} = context do
    kill(context.worker)
    wait_until(fn -> away?(name) end)
    server = Module.concat(name, "Connection")
    connection = Process.whereis(server)

    for message <- [{:call, 1, 2, 3, 4, 5}, {:bogus, 1}, "text"] do
      send(connection, message)
      GenServer.cast(connection, message)
      assert {:error, %Error{kind: :worker_down}} = GenServer.call(connection, message)
    end

    by_hand(context.address, context.token)
    wait_until(fn -> match?({:ok, _}, Connection.info({name, node()})) end)
    assert Process.whereis(server) == connection
  end

  @tag transport: :tcp
  test "the address of gRPC is refused with the address of the sessions", context do
    Process.flag(:trap_exit, true)
    "tcp:" <> rest = context.address
    [host, port] = String.split(rest, ":")

    options = [
      name: :at_grpc,
      connect: "tcp:#{host}:#{String.to_integer(port) + 1}",
      token: context.token
    ]

    assert {:error, %Error{kind: :protocol} = error} = Vllm.start_link(options)
    assert error.message =~ "sessions are opened at #{context.address}: use that address"
    assert error.details == %{"session_address" => context.address}
  end

  test "a connection that is killed leaves no reference in the worker, nor does what it had sent",
       %{test: name} do
    engine = engine(name)
    connection = Process.whereis(Module.concat(name, "Connection"))
    test = self()

    # Some own what they got, some have it in their mailbox.
    callers =
      for n <- 1..20 do
        spawn(fn ->
          if rem(n, 2) == 0, do: receive(do: (:go -> :ok))
          result = Vllm.call(engine, "make", ["objects"])
          send(test, {:got, n, result})
          receive do: (:end -> :ok)
        end)
      end

    for n <- 1..20//2, do: assert_receive({:got, ^n, {:ok, [_, _]}})
    for {pid, n} <- Enum.with_index(callers, 1), rem(n, 2) == 0, do: send(pid, :go)
    Process.exit(connection, :kill)
    for n <- 2..20//2, do: assert_receive({:got, ^n, _value_or_error})
    wait_until(fn -> match?({:ok, %{"references" => 1}}, Vllm.status(name)) end)
    assert AsyncLLM.is_running(engine) == {:ok, true}

    # A receipt, a release and the end of an owner of the session before are no concern of this one.
    [other | _] = callers
    thing = control(engine, "make", ["object"])
    Process.exit(other, :kill)
    assert {:ok, _greeting} = Vllm.call(thing, "greet")
    Vllm.release(thing)
    control(engine, "wait_alive", [0])
  end

  for {class, build, args} <- [
        {AsyncLLM, :from_engine_args, [[model: "fake"]]},
        {Vllm.LLM, :new, ["fake"]}
      ] do
    @tag build: {class, build, args}
    test "an #{inspect(class)} that is built while the session is lost is confirmed, or is not left",
         %{test: name, build: {class, build, args}} do
      :rand.seed(:exsss, {1, 2, 3})

      for _ <- 1..10 do
        connection = Process.whereis(Module.concat(name, "Connection"))

        builds =
          for _ <- 1..Enum.random(1..3),
              do: Task.async(fn -> apply(class, build, [name | args]) end)

        wait_ended(Enum.take(builds, Enum.random(0..2)))
        for _ <- 1..Enum.random(1..20), do: :erlang.yield()
        Process.exit(connection, :kill)
        had = for {:ok, engine} <- Task.await_many(builds, :infinity), do: engine.id

        # The receipt of one that was got may have been lost with the session. Then it is not left.
        wait_until(fn -> only?(engines(name), had) end)
        {:ok, left} = engines(name)
        for id <- left, do: shut_down(name, id, class)
        wait_until(fn -> engines(name) == {:ok, []} end)
      end
    end

    @tag build: {class, build, args}
    test "an #{inspect(class)} that was confirmed outlives its session, a linked one does not",
         %{test: name, build: {class, build, args}} do
      {:ok, linked} = apply(class, build, [name | args] ++ [[rpc: [link: true]]])
      {:ok, kept} = apply(class, build, [name | args])
      # The connection has handled the receipt.
      assert {:ok, _info} = Connection.info({name, node()})
      ids = Enum.sort([linked.id, kept.id])
      assert {:ok, ^ids} = engines(name)
      Process.exit(Process.whereis(Module.concat(name, "Connection")), :kill)
      wait_until(fn -> engines(name) == {:ok, [kept.id]} end)
      assert {:ok, 0} = Vllm.call(kept, "get_num_unfinished_requests")
      assert {:error, %Error{kind: :stale_ref}} = Vllm.call(linked, "get_num_unfinished_requests")
      assert {:ok, nil} = Vllm.call(kept, "shutdown")
    end
  end

  test "an instance that waits for it can be stopped", %{test: name} = context do
    kill(context.worker)
    wait_until(fn -> match?({:error, _}, Vllm.status(name)) end)
    assert :ok = stop_supervised(name)
    refute Process.alive?(context.supervisor)
  end

  defp wait_ended(tasks),
    do: wait_until(fn -> not Enum.any?(tasks, &Process.alive?(&1.pid)) end)

  defp engines(name) do
    with {:ok, %{"engines" => engines}} <- Vllm.status(name),
         do: {:ok, engines |> Enum.map(& &1["ref"]) |> Enum.sort()}
  end

  defp only?({:ok, ids}, allowed), do: ids -- allowed == []
  defp only?({:error, _away}, _allowed), do: false

  defp shut_down(name, id, class) do
    {:ok, %{"incarnation" => incarnation}} = Vllm.status(name)
    [_vllm, type] = Module.split(class)
    engine = %Vllm.Ref{instance: {name, node()}, incarnation: incarnation, id: id, type: type}
    assert Vllm.call(engine, "shutdown") == {:ok, nil}
  end

  # Its connection waits for it.
  defp away?(name) do
    case Vllm.status(name) do
      {:error, %Error{message: message}} -> message =~ "keeps trying"
      {:ok, _status} -> false
    end
  end

  # As an operator would, but that it ends with the test: its stdin is the test's.
  defp by_hand(addresses, token) do
    {:ok, python} = Vllm.Environment.python()

    port =
      Port.open({:spawn_executable, python}, [
        :binary,
        :stderr_to_stdout,
        line: 4096,
        env: [{~c"VLLM_BRIDGE_TOKEN", String.to_charlist(token)}],
        args:
          ["-m", "python_worker", "--lifeline", "stdin", "--engine-class", engine_class()] ++
            Enum.flat_map(List.wrap(addresses), &["--listen", &1])
      ])

    {:os_pid, os_pid} = Port.info(port, :os_pid)
    await_ready(port)
    os_pid
  end

  defp await_ready(port) do
    assert_receive {^port, {:data, {:eol, line}}}
    unless line =~ "VLLM_BRIDGE READY", do: await_ready(port)
  end
end
