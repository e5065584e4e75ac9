defmodule Vllm.Faults.StoppedTest do
  # Processes that are stopped, and go on; or do not.
  use Vllm.FaultCase, async: true

  # Milliseconds that a process stands still.
  @pause 5_000

  test "the worker is stopped for a time", %{name: name} do
    engine = start(name)
    %{worker: worker} = ProcessTree.of(name)

    survived("worker", "stopped for 5 s", engine, fn ->
      signal(worker, "STOP")
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
          signal(tree.worker, "STOP")
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
        signal(worker, "STOP")
        nil
      end
    )

    signal(worker, "CONT")
    wait_until(fn -> match?({:ok, _status}, Vllm.status(name)) end)
    assert AsyncLLM.check_health(engine) == {:ok, nil}
    wait_until(fn -> match?({:ok, %{"sessions" => 1}}, Vllm.status(name)) end)
    Vllm.FaultCase.assert_idle(engine)
  end

  test "the BEAM is stopped for a time", %{name: name} do
    {peer, engine, tree} = boot(name)
    beam = os_pid(peer)

    survived_in(peer, "BEAM", "stopped for 5 s", engine, fn ->
      signal(beam, "STOP")
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
      signal(starter, "STOP")
      options = [name: other, engine_class: engine_class(), log: false, start_timeout: 3_000]

      {seconds, started} =
        timed(fn -> OtherNode.call(peer, OtherNode, :start_instance, [options]) end)

      signal(starter, "CONT")
      assert {:error, reason} = started
      assert inspect(reason) =~ "not ready in time"
      "another instance: `:worker_down` in #{Float.round(seconds, 1)} s"
    end)

    {:ok, _pid} =
      OtherNode.call(peer, OtherNode, :start_instance, [
        [name: other, engine_class: engine_class(), log: false]
      ])

    # Of the worker that started too late there is nothing.
    [_worker, _other] = wait_for_workers(beam, 2)
    second = OtherNode.call(peer, ProcessTree, :of, [other])
    end_of(peer, tree)
    await_gone(second)
  end

  defp wait_for_workers(beam, count) do
    wait_until(fn -> length(workers(beam)) == count end)
    workers(beam)
  end

  defp workers(beam) do
    for pid <- children(beam),
        command(pid) =~ "erl_child_setup",
        worker <- children(pid),
        command(worker) =~ "python_worker",
        do: worker
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
