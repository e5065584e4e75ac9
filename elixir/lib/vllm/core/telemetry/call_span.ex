defmodule Vllm.Core.Telemetry.CallSpan do
  @moduledoc false
  # Emits the start and the end of a call, in the process that makes it. If that process is killed
  # during the call, Vllm.Core.Telemetry.Witness emits the end.

  alias Vllm.Core.Telemetry.{Emitter, Usage, Witness}

  @doc "Runs a call between its events. Without `:telemetry` it only runs it."
  @spec run([atom()], map(), (() -> result)) :: result when result: var
  def run(prefix \\ [:vllm, :call], metadata, fun) do
    if Emitter.loaded?(), do: measure(prefix, metadata, fun), else: fun.()
  end

  defp measure(prefix, metadata, fun) do
    start = System.monotonic_time()
    emit = &Emitter.event(prefix ++ [&1], &2, &3)
    ending = Witness.watch(&emit.(:exception, since(start), Map.merge(metadata, &1)))
    emit.(:start, %{system_time: System.system_time(), monotonic_time: start}, metadata)

    try do
      fun.()
    catch
      kind, reason ->
        failure = Emitter.failure(kind, reason, __STACKTRACE__)

        Witness.once(ending, fn ->
          emit.(:exception, since(start), Map.merge(metadata, failure))
        end)

        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      result ->
        {measured, said} = answered(prefix, result)
        stopped = metadata |> Map.merge(said) |> Map.put(:result, outcome(result))
        Witness.once(ending, fn -> emit.(:stop, Map.merge(measured, since(start)), stopped) end)
        result
    end
  end

  defp since(start) do
    now = System.monotonic_time()
    %{duration: now - start, monotonic_time: now}
  end

  # What the result says of a request, for the events that document it.
  defp answered([:vllm, :call], {:ok, answer}), do: Usage.of(answer)
  defp answered([:vllm, :call], _error), do: Usage.none()
  defp answered(_of_mellea, _result), do: {%{}, %{}}

  defp outcome({:error, %{kind: kind}}), do: kind
  defp outcome(_ok), do: :ok
end
