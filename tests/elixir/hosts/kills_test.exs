defmodule Vllm.Hosts.KillsTest do
  # Requests while each part of an engine over two hosts is killed in turn: each of them ends with one
  # value, and the engine comes back as long as there is a node. Prints a table of what became of them.
  use Vllm.HostsCase, async: false

  # Of each part, so 2,000 in all.
  @requests 500
  @at_once 48
  # Enough that some are answered before, and many run or wait.
  @killed_after 100

  # The node last: nothing starts it again.
  @parts [
    core: "core on the other host",
    engine: "core of the head",
    worker: "worker",
    node: "node"
  ]

  test "no request is left without an answer, whichever part is killed", context do
    start_supervised!({Vllm, name: __MODULE__, engines: [it: context.engine], log: false})

    {rows, log} =
      with_log(fn ->
        {rows, _last} =
          Enum.map_reduce(@parts, built(__MODULE__), fn {part, _name}, engine ->
            row = requests_under_kill(part, engine, context.node)
            {row, if(part == :node, do: engine, else: built_again(__MODULE__, engine))}
          end)

        # Of the node nothing is left, and the head's cores have ended with the engine.
        wait_until(fn -> python(context.node) == [] end)
        {:ok, %{"pid" => worker}} = Vllm.status(__MODULE__)
        stop_supervised!(__MODULE__)
        wait_until(fn -> group(worker) == [] end)
        rows
      end)

    print(rows)
    refute_received {:second, _n, _value}

    for {part, ends, _seconds} <- rows do
      assert Enum.sum(Map.values(ends)) == @requests, "#{part}: #{inspect(ends)}"
      assert ends[:answered] >= @killed_after
      # What ran or was sent when the part ended, and what was sent before the engine was back.
      allowed = [:answered, :engine_dead, :worker_down, :stale_ref]
      assert Map.keys(ends) -- allowed == [], "#{part}: #{inspect(ends)}\n#{log}"
      assert map_size(ends) > 1, "#{part}: none was running"
    end
  end

  # How often each end came, and the seconds from the kill to the first that was no answer.
  defp requests_under_kill(part, engine, node) do
    test = self()
    # Each request is a process of its own; what it gets beside its result would be a message.
    runners = for n <- 1..@requests, do: spawn_link(fn -> runner(test, engine, n) end)
    {first, rest} = Enum.split(runners, @at_once)
    for runner <- first, do: send(runner, :go)
    start = %{ends: %{}, killed: nil, noticed: nil}
    state = gather(@requests, rest, start, fn -> kill(part, node) end)
    {part, state.ends, (state.noticed - state.killed) / 1_000_000}
  end

  defp gather(0, [], state, _kill), do: state

  defp gather(left, waiting, state, kill) do
    receive do
      {:ended, _n, ended} ->
        waiting = next(waiting)
        state = update_in(state.ends[ended], &((&1 || 0) + 1))
        gather(left - 1, waiting, state |> noticed(ended) |> killed(kill), kill)
    end
  end

  defp next([]), do: []

  defp next([runner | waiting]) do
    send(runner, :go)
    waiting
  end

  defp noticed(%{killed: killed, noticed: nil} = state, ended)
       when killed != nil and ended != :answered,
       do: %{state | noticed: System.monotonic_time(:microsecond)}

  defp noticed(state, _ended), do: state

  defp killed(%{killed: nil, ends: %{answered: @killed_after}} = state, kill) do
    kill.()
    %{state | killed: System.monotonic_time(:microsecond)}
  end

  defp killed(state, _kill), do: state

  defp runner(test, engine, n) do
    receive do: (:go -> :ok)
    send(test, {:ended, n, request(engine, n)})
    # A second value would be a message.
    receive do: (other -> send(test, {:second, n, other}))
  end

  defp request(engine, n) do
    params = [max_tokens: 32, temperature: 0.0, ignore_eos: true]
    rank = [data_parallel_rank: rem(n, 2)]

    with {:ok, stream} <- AsyncLLM.generate(engine, "Hello", params, request_id(), rank),
         {:ok, output} <- Stream.collect(stream) do
      32 = length(hd(output.outputs).token_ids)
      :answered
    else
      {:error, %Error{kind: kind}} -> kind
    end
  end

  defp kill(:core, node), do: kill_all(cores(node))
  defp kill(:engine, _node), do: kill_all(for {pid, "VLLM::EngineCore" <> _} <- head(), do: pid)

  defp kill(:worker, _node) do
    {:ok, %{"pid" => pid}} = Vllm.status(__MODULE__)
    kill_all([to_string(pid)])
  end

  # Its Python process, which leads the group: the cores end with it.
  defp kill(:node, node) do
    kill_all(for {pid, command} <- python(node), command =~ "python_worker.node", do: pid)
  end

  defp head do
    {:ok, %{"pid" => pid}} = Vllm.status(__MODULE__)
    group(pid)
  end

  defp kill_all([_ | _] = pids), do: {_, 0} = System.cmd("kill", ["-KILL" | pids])

  defp print(rows) do
    lines =
      for {part, ends, seconds} <- rows do
        kinds = Enum.map_join(ends, ", ", fn {kind, count} -> "#{count} #{kind}" end)
        "  #{@parts[part]}: #{kinds}; noticed after #{Float.round(seconds, 2)} s\n"
      end

    IO.puts(["\n#{@requests} requests each while a part was killed\n" | lines])
  end
end
