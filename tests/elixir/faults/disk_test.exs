defmodule Vllm.Faults.DiskTest do
  # Disks without room: for the log, for the files of a worker, for crash reports.
  use Vllm.FaultCase, needs: [:mount]

  setup %{folder: folder} do
    disk = Path.join(folder, "disk")
    undo = full_disk(disk, size: "64k")
    on_exit(undo)
    %{disk: disk}
  end

  test "the worker's folder is on a full disk", %{name: name, disk: disk} do
    engine = start(name, socket_dir: disk, env: %{"TMPDIR" => disk})
    assert ProcessTree.of(name).folder |> String.starts_with?(disk)

    survived("worker", "its folder is on a full disk", engine, fn ->
      results = for _ <- 1..4, do: AsyncLLM.from_engine_args(name, model: "fake")
      "engines built meanwhile: #{Enum.map_join(results, ", ", &outcome/1)}"
    end)

    stop(name)
  end

  test "the disk for the worker's folder takes no more files", %{name: name, folder: folder} do
    disk = Path.join(folder, "inodes")
    undo = full_disk(disk, size: "64k", nr_inodes: 2)
    on_exit(undo)
    Process.flag(:trap_exit, true)

    {seconds, started} =
      timed(fn -> Vllm.start_link(name: name, engine_class: engine_class(), socket_dir: disk) end)

    assert {:error, %Error{} = error} = started
    assert error.message =~ disk
    assert error.message =~ "no space left"
    note("worker", "no room for its folder", %{error.kind => 1}, seconds)
  end

  test "the worker's log is on a full disk", %{name: name, disk: disk} do
    log = Path.join(disk, "full")
    shell = ["/bin/sh", "-c", ~s(exec "$@" 2>> #{log}), "sh"]
    arguments = ["--listen", "tcp:127.0.0.1:0", "--log-level", "debug"]
    {%{address: address}, _port} = by_hand(arguments, before: shell)
    engine = attach(name, address)

    survived("worker", "its log is on a full disk", engine, fn ->
      result = Vllm.call(engine, "print_megabytes", [1])
      "a method that prints itself: #{outcome(result)}"
    end)
  end

  test "the BEAM's log and its crash dump are on a full disk", %{name: name, disk: disk} do
    dump = Path.join(disk, "erl_crash.dump")
    {peer, engine, tree} = boot(name, [log: :debug], %{env: [{~c"ERL_CRASH_DUMP", ~c"#{dump}"}]})
    config = %{config: %{file: ~c"#{disk}/full", modes: [:raw, :append]}, level: :all}
    :ok = OtherNode.call(peer, :logger, :add_handler, [:full, :logger_std_h, config])

    survived_in(peer, "BEAM", "its log is on a full disk", engine, fn ->
      FaultCase.rounds_in(peer, engine, 20)
    end)

    Process.flag(:trap_exit, true)
    Process.unlink(peer)
    beam = os_pid(peer)
    spawn(fn -> OtherNode.call(peer, :erlang, :halt, [~c"a crash"]) end)
    {seconds, _} = timed(fn -> await_gone(tree) end)
    wait_until(fn -> not Vllm.BridgeCase.alive?(beam) end)

    note(
      "BEAM",
      "its crash dump has no room",
      %{},
      seconds,
      "the worker's processes and files are gone"
    )
  end
end
