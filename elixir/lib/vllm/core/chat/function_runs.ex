defmodule Vllm.Core.Chat.FunctionRuns do
  @moduledoc false
  # Runs functions of the caller's, all at the same time, each in a process of its own: one that fails
  # or hangs neither ends the caller nor the others.

  @type outcome :: {:ok, term()} | {:error, :timeout | String.t()}

  @doc """
  What the functions return, in their order. `{:error, reason}` in place of a function is its outcome.
  """
  @spec run([(() -> term()) | {:error, String.t()}], timeout()) :: [outcome()]
  def run(functions, timeout) do
    runs = Enum.map(functions, &start/1)
    until = if timeout == :infinity, do: :infinity, else: now() + timeout
    Enum.map(runs, &result(&1, until))
  end

  defp start({:error, _reason} = error), do: error

  # The process dies with its caller, and the caller does not die with it.
  defp start(function) do
    caller = self()
    callers = [caller | Process.get(:"$callers", [])]
    reply = make_ref()

    {pid, monitor} =
      spawn_monitor(fn ->
        Process.put(:"$callers", callers)
        watch(caller, self())
        send(caller, {reply, function.()})
      end)

    {:running, reply, pid, monitor}
  end

  defp watch(caller, runner) do
    spawn(fn ->
      monitors = [Process.monitor(caller), Process.monitor(runner)]
      receive do: ({:DOWN, monitor, _, _, _} -> true = monitor in monitors)
      Process.exit(runner, :kill)
    end)
  end

  defp result({:running, reply, pid, monitor}, until) do
    receive do
      {^reply, value} ->
        Process.demonitor(monitor, [:flush])
        {:ok, value}

      {:DOWN, ^monitor, _, _, reason} ->
        {:error, failure(reason)}
    after
      remaining(until) ->
        Process.exit(pid, :kill)

        receive do
          {^reply, value} ->
            Process.demonitor(monitor, [:flush])
            {:ok, value}

          {:DOWN, ^monitor, _, _, _reason} ->
            receive do: ({^reply, value} -> {:ok, value}), after: (0 -> {:error, :timeout})
        end
    end
  end

  defp result({:error, _reason} = error, _until), do: error

  defp remaining(:infinity), do: :infinity
  defp remaining(until), do: max(until - now(), 0)

  # The message and not the stack, which may show what others should not know.
  defp failure({%{__exception__: true} = exception, _stack}), do: Exception.message(exception)
  defp failure({{:nocatch, value}, _stack}), do: inspect(value)
  defp failure({reason, stack}) when is_list(stack), do: inspect(reason)
  defp failure(reason), do: inspect(reason)

  defp now, do: System.monotonic_time(:millisecond)
end
