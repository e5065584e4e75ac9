defmodule Vllm.Telemetry do
  @moduledoc """
  The events that are emitted when the application has `:telemetry` loaded.

  Every call emits `start` and then exactly one of `stop` and `exception`, from the process that
  calls.

  ### `[:vllm, :call, :start]`

  A call is about to be encoded and sent.

    * Measurements: `:system_time`, `:monotonic_time`
    * Metadata: `:instance` (the name, or `nil` while it is not known), `:class`, `:method`

  ### `[:vllm, :call, :stop]`

  The call returned. For a call that streams this is when the engine accepted it.

    * Measurements: `:duration` (native time unit), `:monotonic_time`
    * Metadata: as above, and `:result`: `:ok` or the kind of the `Vllm.Error`

  ### `[:vllm, :call, :exception]`

  The call raised, which is a bug of the bridge or a wrong type given to it.

    * Measurements: as for `stop`
    * Metadata: as for `start`, and `:kind`, `:reason`, `:stacktrace`

  ### `[:vllm, :engine, :up]`, `[:vllm, :engine, :failed]`, `[:vllm, :engine, :down]`

  An engine that was declared with `engines:` is ready, did not start, has died.

    * Measurements: `:duration` of the building (native time unit); none for `down`
    * Metadata: `:instance`, `:engine` (its name), and `:ref`, `:error` (a `Vllm.Error`) or
      `:reason` (a string)
  """

  @doc false
  @spec span(map(), (() -> result)) :: result when result: var
  def span(metadata, fun) do
    if function_exported?(:telemetry, :execute, 3), do: measure(metadata, fun), else: fun.()
  end

  @doc false
  @spec event([atom()], map(), map()) :: :ok
  def event(name, measurements, metadata) do
    # By apply: telemetry is not a dependency.
    if function_exported?(:telemetry, :execute, 3),
      do: apply(:telemetry, :execute, [name, measurements, metadata])

    :ok
  end

  defp measure(metadata, fun) do
    start = System.monotonic_time()
    emit(:start, %{system_time: System.system_time(), monotonic_time: start}, metadata)

    try do
      fun.()
    catch
      kind, reason ->
        failure = %{kind: kind, reason: reason, stacktrace: __STACKTRACE__}
        emit(:exception, since(start), Map.merge(metadata, failure))
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      result ->
        emit(:stop, since(start), Map.put(metadata, :result, outcome(result)))
        result
    end
  end

  defp since(start) do
    now = System.monotonic_time()
    %{duration: now - start, monotonic_time: now}
  end

  defp outcome({:error, %{kind: kind}}), do: kind
  defp outcome(_ok), do: :ok

  defp emit(event, measurements, metadata) do
    event([:vllm, :call, event], measurements, metadata)
  end
end
