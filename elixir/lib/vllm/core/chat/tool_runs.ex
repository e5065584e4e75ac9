defmodule Vllm.Core.Chat.ToolRuns do
  @moduledoc false
  # Runs the functions that a model calls, all of one answer at the same time.

  alias Vllm.Core.Chat.FunctionRuns
  alias Vllm.{Tool, ToolCall}

  @doc "The answers to the calls as messages, in their order."
  @spec run([ToolCall.t()], [Tool.t()], timeout()) :: [map()]
  def run(calls, tools, timeout) do
    functions = for %Tool{name: name, run: run} <- tools, run != nil, into: %{}, do: {name, run}

    calls
    |> Enum.map(&function(&1, functions))
    |> FunctionRuns.run(timeout)
    |> Enum.zip_with(calls, fn outcome, call ->
      %{role: "tool", tool_call_id: call.id, content: content(outcome)}
    end)
  end

  # A reason, or the function with its arguments.
  defp function(%ToolCall{arguments: nil}, _functions),
    do: {:error, "the arguments are no JSON object"}

  defp function(%ToolCall{name: name, arguments: arguments}, functions) do
    case functions do
      %{^name => run} -> fn -> run.(arguments) end
      _others -> {:error, "there is no function #{name}"}
    end
  end

  defp content({:ok, {:error, reason}}), do: %{error: text(reason)}
  defp content({:ok, {:ok, value}}), do: value
  defp content({:ok, value}), do: value
  defp content({:error, :timeout}), do: %{error: "it took too long"}
  defp content({:error, reason}), do: %{error: reason}

  defp text(reason) when is_binary(reason), do: reason
  defp text(%{__exception__: true} = exception), do: Exception.message(exception)
  defp text(reason), do: inspect(reason)
end
