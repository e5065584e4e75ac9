defmodule Vllm.Core.Telemetry.Emitter do
  @moduledoc false
  # Emits the events of `Vllm.Telemetry`, if the application has `:telemetry` loaded.

  @doc "Whether there is anything that events can be emitted with."
  @spec loaded?() :: boolean()
  def loaded?, do: function_exported?(:telemetry, :execute, 3)

  @doc "Emits an event."
  @spec event([atom()], map(), map()) :: :ok
  def event(name, measurements, metadata) do
    # By apply: telemetry is not a dependency.
    if loaded?(), do: apply(:telemetry, :execute, [name, measurements, metadata])
    :ok
  end

  @doc "What was raised, as metadata of an event."
  # A stack trace may hold the arguments of the function that raised, and so a prompt.
  @spec failure(atom(), term(), Exception.stacktrace()) :: map()
  def failure(kind, reason, stacktrace) do
    %{kind: kind, reason: reason, stacktrace: Enum.map(stacktrace, &without_arguments/1)}
  end

  defp without_arguments({module, function, arguments, location}) when is_list(arguments),
    do: {module, function, length(arguments), location}

  defp without_arguments(entry), do: entry
end
