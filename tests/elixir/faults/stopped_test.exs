defmodule Vllm.Faults.StoppedTest do
  # Processes that are stopped, and go on; or do not.
  use Vllm.FaultCase, async: true

  # Milliseconds that a process stands still.
  @pause 5_000

  test "the worker is stopped for a time", %{name: name} do
    engine = start(name)
    %{worker: worker} = ProcessTree.of(name)

    survived("worker", "stopped for 5 s", engine, fn ->
      stop_process(worker)
      receive after: (@pause -> signal(worker, "CONT"))
      nil
    end)

    stop(name)
  end

  test "the worker is stopped, and does not go on", %{name: name} do
    engine = start(name, max_restarts: 10)
    tree = ProcessTree.of(name)

    capture_log(fn ->
      result =
        lost("worker", "stopped, and does not go on", engine, [:worker_down], fn ->
          stop_process(tree.worker)
          nil
        end)

      assert result.messages.worker_down =~ "has not answered a ping"
    end)

    await_gone(tree)
    assert_back(name)
    stop(name)
  end

  test "a worker that was started elsewhere is stopped, and goes on later", %{name: name} do
    {%{address: address, os_pid: worker}, _port} = by_hand(["--listen", "tcp:127.0.0.1:0"])
    engine = attach(name, address)

    lost(
      "worker elsewhere",
      "stopped for longer than it is waited for",
      engine,
      [:worker_down],
      fn ->
        stop_process(worker)
        nil
      end
    )

    signal(worker, "CONT")
    wait_until(fn -> match?({:ok, _status}, Vllm.status(name)) end)
    assert AsyncLLM.check_health(engine) == {:ok, nil}
    wait_until(fn -> match?({:ok, %{"sessions" => 1}}, Vllm.status(name)) end)
    FaultCase.assert_idle(engine)
  end

  test "the BEAM is stopped for a time", %{name: name} do
    {peer, engine, tree} = boot(name)
    beam = os_pid(peer)

    survived_in(peer, "BEAM", "stopped for 5 s", engine, fn ->
      stop_process(beam)
      receive after: (@pause -> signal(beam, "CONT"))
      nil
    end)

    end_of(peer, tree)
  end

  test "the BEAM's program that starts others is stopped", %{name: name} do
    {peer, engine, tree} = boot(name)
    beam = os_pid(peer)
    [starter] = for pid <- children(beam), command(pid) =~ "erl_child_setup", do: pid
    other = :"other of #{name}"

    survived_in(peer, "BEAM", "its program that starts others is stopped", engine, fn ->
      stop_process(starter)
      options = [name: other, engine_class: engine_class(), log: false]
      starting = Task.async(fn -> OtherNode.call(peer, OtherNode, :start_instance, [options]) end)
      FaultCase.rounds_in(peer, engine, 20)
      signal(starter, "CONT")
      {:ok, _pid} = Task.await(starting, :infinity)
      "an instance that is started meanwhile starts later"
    end)

    second = OtherNode.call(peer, ProcessTree, :of, [other])
    end_of(peer, tree)
    await_gone(second)
  end

  # If the test fails it goes on too, so that it can end.
  defp stop_process(pid) do
    on_exit(fn -> System.cmd("/bin/sh", ["-c", "kill -CONT #{pid}"], stderr_to_stdout: true) end)
    signal(pid, "STOP")
  end

  defp children(pid) do
    for stat <- Path.wildcard("/proc/[0-9]*/stat"),
        {:ok, text} <- [File.read(stat)],
        [state, parent | _] = text |> String.split(")") |> List.last() |> String.split(),
        parent == "#{pid}" and state != "Z",
        do: stat |> Path.dirname() |> Path.basename() |> String.to_integer()
  end

  defp command(pid) do
    case File.read("/proc/#{pid}/cmdline") do
      {:ok, command} -> command
      {:error, _gone} -> ""
    end
  end
end
