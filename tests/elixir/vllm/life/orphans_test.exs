defmodule Vllm.RealEngine.OrphansTest do
  # Whatever is killed, nothing of the tree below it stays: no process, no socket, no shared memory.
  # A test kills what it has built, so there are few of them and each does much.
  use Vllm.VllmEngine

  import ExUnit.CaptureLog
  import Vllm.ProcessTree, only: [await_gone: 1, shared_memory: 1, signal: 2]
  import Vllm.StandIns, only: [telemetry: 0]

  alias Vllm.{OtherNode, ProcessTree}

  @moduletag timeout: 1_200_000

  # Building an engine, on a machine that has something else to do as well.
  @built 300_000

  setup_all do
    put_environment()
    :ok
  end

  # vLLM's sockets would not fit into the folder for temporary files.
  @tag :tmp_dir
  test "kill -9 of the worker, five times, then SIGTERM under load", context do
    telemetry()
    temporary = Path.join(context.tmp_dir, String.duplicate("x", 100))
    File.mkdir!(temporary)

    log =
      capture_log(fn ->
        options = [engines: [it: arguments(:divided)], max_restarts: 6, grace: 4_000]
        # Without a lower priority: on a busy machine an engine would take minutes to start.
        options = [env: %{"TMPDIR" => temporary}, nice: 0] ++ options
        {:ok, _} = start_supervised({Vllm, [name: __MODULE__] ++ options})
        {:ok, first} = Vllm.engine(__MODULE__, :it, @built)
        tree = ProcessTree.of(__MODULE__)
        assert_known_by_name(tree)

        # Everything that waits is answered.
        streams = for n <- 1..16, do: collecting(first, "#{n}: count")
        wait_until(fn -> unfinished(first) == 16 end)
        pausing = Task.async(fn -> AsyncLLM.pause_generation(first, mode: "wait") end)
        signal(tree.worker, "KILL")

        for result <- Task.await_many([pausing | streams], :infinity) do
          assert {:error, %Error{kind: :worker_down} = error} = result
          assert error.message =~ inspect(__MODULE__)
          assert error.message =~ "exit status 137 (signal 9)"
        end

        await_gone(tree)

        # While it starts to build, and in the midst of it.
        last = Enum.reduce(2..4, tree, fn _, before -> kill_next(before, 1) end)
        kill_next(last, 3)

        # It is back under its name.
        wait_until(fn -> match?({:ok, _}, Vllm.engine(__MODULE__, :it, @built)) end)
        {:ok, second} = Vllm.engine(__MODULE__, :it)
        assert_well(second)
        assert {:error, %Error{kind: :stale_ref}} = AsyncLLM.check_health(first)

        # Nothing has to be forced.
        stopping = capture_log(fn -> terminate_under_load(second) end)
        refute stopping =~ "killed the worker"
        refute stopping =~ "was left behind"
        refute stopping =~ "output_handler failed"
        :ok = stop_supervised(__MODULE__)
      end)

    assert log =~ "exit status 137 (signal 9)"
    assert log =~ "the worker's files are in /tmp/vllm-"
    assert log =~ ": TMPDIR (#{temporary}) has "

    for path <- Path.wildcard(temporary <> "/**"),
        do: assert(File.lstat!(path).type in [:regular, :directory])
  end

  test "kill -9 of the BEAM" do
    # Ends as an operating system process, so its controlling process must not be linked.
    peer = OtherNode.boot()
    call = &OtherNode.call(peer, &1, &2, &3)
    options = [name: Killed.Vllm, log: false, nice: 0, engines: [it: arguments(:divided)]]
    {:ok, _} = call.(OtherNode, :start_instance, [options])
    {:ok, engine} = call.(Vllm, :engine, [Killed.Vllm, :it, @built])
    tree = call.(ProcessTree, :of, [Killed.Vllm])
    assert_known_by_name(tree)

    # In flight: endless, and its consumer is a process of the BEAM that is killed.
    call.(OtherNode, :start_endless, [engine, endless()])
    signal(call.(System, :pid, []), "KILL")
    await_gone(tree)
  end

  # Worker, resource tracker, fork server, EngineCore and its worker; and what they share is known as
  # theirs.
  defp assert_known_by_name(tree) do
    assert length(tree.pids) == 5
    name = Path.basename(tree.folder)
    assert [_ | _] = paths = shared_memory(tree)
    for path <- paths, do: assert(String.starts_with?(path, "/dev/shm/#{name}_"))
    # The sockets of vLLM's processes, named by UUIDs, and the file where they meet.
    assert Enum.any?(File.ls!(tree.folder), &(&1 =~ ~r/^\w{8}-\w{4}-/))
  end

  # Kills the next worker as soon as its tree has so many processes; returns the tree.
  defp kill_next(before, processes) do
    wait_until(fn ->
      tree = ProcessTree.find(__MODULE__)
      tree != nil and tree.worker != before.worker and length(tree.pids) >= processes
    end)

    tree = ProcessTree.of(__MODULE__)
    asking = Task.async(fn -> Vllm.engine(__MODULE__, :it, :infinity) end)
    signal(tree.worker, "KILL")
    assert {:error, %Error{kind: :worker_down} = error} = Task.await(asking, :infinity)
    assert error.message =~ "exit status 137 (signal 9)"
    await_gone(tree)
    tree
  end

  # What fits into the grace period finishes, the rest fails, new calls are refused.
  defp terminate_under_load(engine) do
    %{worker: worker} = tree = ProcessTree.of(__MODULE__)
    long = for n <- 1..32, do: collecting(engine, "#{n}: count")
    wait_until(fn -> unfinished(engine) == 32 end)
    {:ok, short} = AsyncLLM.generate(engine, "Hello", [max_tokens: 16, temperature: 0.0], "short")
    signal(tree.worker, "TERM")
    assert {:ok, output} = Stream.collect(short)
    assert text(output) == hello()

    for result <- Task.await_many(long, :infinity) do
      assert {:error, %Error{kind: kind} = error} = result
      assert kind in [:worker_down, :draining]
      assert error.message =~ ~r/stop/
    end

    await_gone(tree)
    exit = [:vllm, :worker, :exit]
    assert_receive {:event, ^exit, _, %{os_pid: ^worker, status: status}, _}
    assert status == 0
  end

  defp collecting(engine, prompt) do
    Task.async(fn -> engine |> generate(prompt, endless()) |> Stream.collect() end)
  end
end
