defmodule Vllm.Bridge.SocketPathsTest do
  # Sockets whose paths hold any bytes, and folders for temporary files that do not suit them: the READY
  # line and the handshake bring what the worker listens at, and nothing is left at any end.
  use ExUnit.Case, async: true

  import Vllm.BridgeCase, only: [engine: 1, engine_class: 0, patience: 0, kill: 1]
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.{AsyncLLM, Error}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Worker
  alias Vllm.Core.Worker.{Folder, Launch}

  @moduletag :bridge

  @odd [
    "ü",
    ~s(a "b"),
    "back\\slash",
    "per%41cent",
    "#?&=:",
    "two\nlines",
    <<"no UTF-8 ", 255, 195>>
  ]

  setup do
    root = "/tmp/p#{System.unique_integer([:positive])}-#{System.pid()}"
    File.mkdir!(root)
    # rm -rf, because File.rm_rf does not list names that are no UTF-8.
    on_exit(fn -> System.cmd("rm", ["-rf", root]) end)
    %{root: root}
  end

  test "an instance connects, wherever its socket lies, and leaves nothing",
       %{root: root} = context do
    for name <- @odd do
      dir = Path.join(root, name)
      File.mkdir!(dir)
      options = [name: context.test, socket_dir: dir, env: %{"TMPDIR" => root}]

      start_supervised!(
        {Vllm, [engine_class: engine_class(), log: false] ++ options ++ patience()}
      )

      assert AsyncLLM.check_health(engine(context.test)) == {:ok, nil}
      {:ok, "unix:" <> socket, _token} = Worker.address(worker(context.test))
      assert String.starts_with?(socket, dir <> "/vllm-")
      :ok = stop_supervised(context.test)
      assert File.ls!(dir) == []
      File.rmdir!(dir)
      assert File.ls!(root) == []
    end
  end

  test "a worker started elsewhere is found at any path", %{root: root} = context do
    Process.flag(:trap_exit, true)

    for name <- @odd do
      path = Path.join(root, name)
      port = by_hand(["--listen", "unix:" <> path, "--lifeline", "stdin"], [])
      {:ok, %{address: address, grpc_address: grpc_address}} = await_ready(port)
      assert {address, grpc_address} == {"unix:" <> path, "unix:" <> path <> ".grpc"}

      {:ok, supervisor} = Vllm.start_link(name: context.test, connect: address)
      assert AsyncLLM.check_health(engine(context.test)) == {:ok, nil}
      Supervisor.stop(supervisor)

      assert {:error, %Error{kind: :protocol} = error} =
               Vllm.start_link(name: context.test, connect: grpc_address)

      assert error.details == %{"session_address" => address}
      assert String.valid?(error.message)
      Port.close(port)
      wait_until(fn -> not File.exists?(path) and not File.exists?(path <> ".grpc") end)
    end
  end

  test "what one side writes the other reads, for any bytes", %{root: root} do
    :rand.seed(:exsss, {1, 2, 3})
    {:ok, python} = Vllm.Environment.python()
    {:ok, sources} = Vllm.Environment.worker_dir()

    paths =
      for _ <- 1..500,
          do:
            for(_ <- 1..:rand.uniform(100), into: "/", do: <<Enum.random(Enum.to_list(1..255))>>)

    file = Path.join(root, "paths")
    File.write!(file, Enum.join(paths, <<0>>))

    code = """
    import os, sys
    from python_worker.rpc.addresses import Addresses
    from python_worker.server import announce
    for path in open(sys.argv[1], "rb").read().split(b"\\0"):
        address = "unix:" + os.fsdecode(path)
        announce(os.dup(1), Addresses([address, "tcp:h:1"], [address + ".grpc"]), "0" * 32)
    """

    {output, 0} = System.cmd(python, ["-c", code, file], env: [{"PYTHONPATH", sources}])

    read = for line <- String.split(output, "\n", trim: true), do: Launch.ready(line)

    assert for({:ok, ready} <- read, do: ready.address) ==
             for(path <- paths, do: "unix:" <> one_slash(path))

    assert for({:ok, ready} <- read, do: ready.grpc_address) ==
             for(path <- paths, do: "unix:" <> one_slash(path) <> ".grpc")
  end

  defp one_slash("//" <> rest), do: one_slash("/" <> rest)
  defp one_slash(path), do: path

  # Short and long, and one that means something in a URL.
  test "whatever TMPDIR is, the worker's files lie where the doctor says, and go",
       %{root: root} = context do
    for length <- [20, 56, 57, 70, 91, 200] do
      dir = Path.join(root, String.duplicate("x", max(length - byte_size(root) - 1, 1)))
      File.mkdir_p!(dir)
      env = %{"TMPDIR" => dir, "VLLM_RPC_BASE_PATH" => false}
      {:ok, expected} = Folder.make(nil, env)
      Folder.remove(expected)
      options = [name: context.test, env: env, engine_class: engine_class(), log: false]
      start_supervised!({Vllm, options ++ patience()})
      assert AsyncLLM.check_health(engine(context.test)) == {:ok, nil}
      %{os_pid: os_pid} = Worker.info(worker(context.test))
      folder = variable(os_pid, "VLLM_BRIDGE_FOLDER")
      assert Path.dirname(folder) == Path.dirname(expected.files)
      # The worker and a worker that is started by hand agree with the client.
      assert chosen_by_python(dir) == Path.dirname(expected.files)
      assert File.exists?(folder)
      :ok = stop_supervised(context.test)
      refute File.exists?(folder)
      assert File.ls!(dir) == []
    end
  end

  test "a worker that is killed leaves nothing", %{root: root} = context do
    dir = Path.join(root, "ü")
    File.mkdir!(dir)
    options = [name: context.test, socket_dir: dir, env: %{"TMPDIR" => root}]
    start_supervised!({Vllm, [engine_class: engine_class(), log: false] ++ options ++ patience()})
    before = Worker.info(worker(context.test)).os_pid
    kill(before)

    wait_until(fn ->
      match?({:ok, %{"pid" => pid}} when pid != before, Vllm.status(context.test))
    end)

    assert [_one] = File.ls!(dir)

    assert ["ü", "vllm-" <> _] =
             root |> File.ls!() |> Enum.sort(:desc) |> Enum.sort_by(&(&1 != "ü"))

    :ok = stop_supervised(context.test)
    assert File.ls!(dir) == []
    assert File.ls!(root) == ["ü"]
  end

  test "what a killed worker without a client has left is removed by the next one", %{root: root} do
    listen = ["--listen", "unix:" <> Path.join(root, "s")]
    env = [{~c"TMPDIR", String.to_charlist(root)}, {~c"VLLM_RPC_BASE_PATH", false}]
    port = by_hand(listen, env)
    {:ok, %{os_pid: os_pid}} = await_ready(port)
    assert ["s", "s.grpc", "vllm-" <> _ = left] = root |> File.ls!() |> Enum.sort()
    kill(os_pid)
    assert_receive {^port, {:exit_status, 137}}
    # Young locks may belong to a worker that starts.
    File.touch!(Path.join([root, left, ".vllm_bridge.lock"]), 0)

    next = by_hand(listen ++ ["--lifeline", "stdin"], env)
    {:ok, _ready} = await_ready(next)
    assert ["s", "s.grpc", "vllm-" <> _ = its] = root |> File.ls!() |> Enum.sort()
    assert its != left
    Port.close(next)
    wait_until(fn -> File.ls!(root) == [] end)
  end

  defp chosen_by_python(dir) do
    {:ok, python} = Vllm.Environment.python()
    {:ok, sources} = Vllm.Environment.worker_dir()

    code = """
    import os, sys
    from python_worker.process import folder_choice
    folder = folder_choice.make({"TMPDIR": sys.argv[1]}).folder
    os.rmdir(folder)
    print(folder.parent)
    """

    {output, 0} = System.cmd(python, ["-c", code, dir], env: [{"PYTHONPATH", sources}])
    String.trim(output)
  end

  defp variable(os_pid, name) do
    "/proc/#{os_pid}/environ"
    |> File.read!()
    |> String.split(<<0>>)
    |> Enum.find_value(fn line ->
      with [^name, value] <- String.split(line, "=", parts: 2), do: value, else: (_other -> nil)
    end)
  end

  defp by_hand(arguments, env) do
    {:ok, python} = Vllm.Environment.python()
    {:ok, sources} = Vllm.Environment.worker_dir()
    path = {~c"PYTHONPATH", String.to_charlist(sources)}

    Port.open({:spawn_executable, python}, [
      :binary,
      :exit_status,
      :stderr_to_stdout,
      line: 16_384,
      env: [path | env],
      args: ["-m", "python_worker", "--engine-class", engine_class() | arguments]
    ])
  end

  defp await_ready(port) do
    assert_receive {^port, {:data, {:eol, line}}}, 60_000
    with :no <- Launch.ready(line), do: await_ready(port)
  end

  defp worker(instance), do: Locator.process_name(instance, "Worker")
end
