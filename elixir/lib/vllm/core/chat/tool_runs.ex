defmodule Vllm.Core.Chat.ToolRuns do
  @moduledoc false
  # Runs the functions that a model calls, all of one answer at the same time, each in a process of
  # its own: one that fails or hangs neither ends the caller nor the others.

  alias Vllm.{Tool, ToolCall}

  @doc "The answers to the calls as messages, in their order."
  @spec run([ToolCall.t()], [Tool.t()], timeout()) :: [map()]
  def run(calls, tools, timeout) do
    functions = for %Tool{name: name, run: run} <- tools, run != nil, into: %{}, do: {name, run}

    calls
    |> Enum.map(&start(&1, functions))
    |> await(timeout)
    |> Enum.zip_with(calls, fn result, call ->
      %{role: "tool", tool_call_id: call.id, content: content(result)}
    end)
  end

  # A reason, or the process that runs the function.
  defp start(%ToolCall{arguments: nil}, _functions),
    do: {:error, "the arguments are no JSON object"}

  defp start(%ToolCall{name: name, arguments: arguments}, functions) do
    case functions do
      %{^name => run} -> spawn_run(run, arguments)
      _others -> {:error, "there is no function #{name}"}
    end
  end

  # The process dies with its caller, and the caller does not die with it.
  defp spawn_run(run, arguments) do
    caller = self()
    callers = [caller | Process.get(:"$callers", [])]
    reply = make_ref()

    {pid, monitor} =
      spawn_monitor(fn ->
        Process.put(:"$callers", callers)
        watch(caller, self())
        send(caller, {reply, run.(arguments)})
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

  defp await(runs, timeout) do
    until = if timeout == :infinity, do: :infinity, else: now() + timeout
    Enum.map(runs, &result(&1, until))
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
            receive do: ({^reply, value} -> {:ok, value}),
                    after: (0 -> {:error, "it took too long"})
        end
    end
  end

  defp result({:error, _reason} = error, _until), do: error

  defp remaining(:infinity), do: :infinity
  defp remaining(until), do: max(until - now(), 0)

  # The model gets the message and not the stack, which may show what it should not know.
  defp failure({%{__exception__: true} = exception, _stack}), do: Exception.message(exception)
  defp failure({{:nocatch, value}, _stack}), do: inspect(value)
  defp failure({reason, stack}) when is_list(stack), do: inspect(reason)
  defp failure(reason), do: inspect(reason)

  defp content({:ok, {:error, reason}}), do: %{error: text(reason)}
  defp content({:ok, {:ok, value}}), do: value
  defp content({:ok, value}), do: value
  defp content({:error, reason}), do: %{error: reason}

  defp text(reason) when is_binary(reason), do: reason
  defp text(%{__exception__: true} = exception), do: Exception.message(exception)
  defp text(reason), do: inspect(reason)

  defp now, do: System.monotonic_time(:millisecond)
end
