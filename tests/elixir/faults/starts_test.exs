defmodule Vllm.Faults.StartsTest do
  # Starts and kills in a row, at any moment.
  use Vllm.FaultCase, async: true

  # Milliseconds from the start of a worker to its death: from before its first line to requests in flight.
  @latest 1_500

  test "fifty starts and kills in a row", %{name: name} do
    :rand.seed(:exsss, {1, 2, 3})
    began = System.monotonic_time(:millisecond)
    ends = for n <- 1..50, do: start_and_kill(:"#{n} of #{name}", :rand.uniform(@latest))
    seconds = (System.monotonic_time(:millisecond) - began) / 1000
    note("worker", "50 starts and kills in a row", Enum.frequencies(ends), seconds)
    assert Enum.all?(ends, &(&1 == :worker_down))
  end

  defp start_and_kill(name, after_ms) do
    test = self()

    # Its processes do not end the test.
    user =
      spawn(fn ->
        Process.flag(:trap_exit, true)
        options = [name: name, engine_class: engine_class(), log: false, max_restarts: 1]
        send(test, {:ended, used(options)})
      end)

    monitor = Process.monitor(user)
    os_pid = await_launched(name, user)
    receive after: (after_ms -> kill(os_pid))

    receive do
      {:ended, outcome} ->
        Process.demonitor(monitor, [:flush])
        gone(os_pid)
        outcome

      {:DOWN, ^monitor, :process, _pid, reason} ->
        flunk("the user of the instance has ended: #{inspect(reason)}")
    end
  end

  # Requests until the worker is gone.
  defp used(options) do
    with {:ok, pid} <- Vllm.start_link(options),
         {:ok, engine} <- AsyncLLM.from_engine_args(options[:name], model: "fake") do
      error = request_on(engine)
      # It is about to start the next worker.
      :ok = Supervisor.stop(pid, :shutdown, 60_000)
      error.kind
    else
      {:error, %Error{kind: kind}} -> kind
    end
  end

  defp request_on(engine) do
    params = [max_tokens: 20, extra_args: %{"fake" => %{"delay" => 0.001}}]

    with {:ok, stream} <- AsyncLLM.generate(engine, "x", params, "of #{inspect(make_ref())}"),
         {:ok, _output} <- Vllm.Stream.collect(stream) do
      request_on(engine)
    else
      {:error, error} -> error
    end
  end

  defp await_launched(name, user) do
    wait_until(fn -> launched(name) != nil or not Process.alive?(user) end)
    launched(name) || flunk("no worker was started")
  end

  # The process of its worker, which may not be ready.
  defp launched(name) do
    with pid when is_pid(pid) <- Process.whereis(Module.concat(name, "Worker")),
         {:links, links} <- Process.info(pid, :links),
         [port | _] <- Enum.filter(links, &is_port/1),
         {:os_pid, os_pid} <- Port.info(port, :os_pid),
         # Before it, the interpreter is asked for its version.
         {:ok, command} <- File.read("/proc/#{os_pid}/cmdline"),
         true <- command =~ "--listen" do
      os_pid
    else
      _not_yet -> nil
    end
  end

  # Neither its processes nor its files are left. They carry the name of its folder, which the worker's
  # environment names.
  defp gone(os_pid) do
    wait_until(fn -> not Vllm.BridgeCase.alive?(os_pid) end)
    wait_until(fn -> Vllm.VllmEngine.group(os_pid) == [] end)
  end
end
