defmodule Vllm.Core.Telemetry.Emitter do
  @moduledoc false
  # Emits the events of `Vllm.Telemetry`, if the application has `:telemetry` loaded.

  @doc "Whether `:telemetry` is loaded."
  @spec loaded?() :: boolean()
  def loaded?, do: function_exported?(:telemetry, :execute, 3)

  @doc "Emits an event."
  @spec event([atom()], map(), map()) :: :ok
  def event(name, measurements, metadata) do
    # By apply, because telemetry is not a dependency.
    if loaded?(), do: apply(:telemetry, :execute, [name, measurements, metadata])
    :ok
  end

  @doc "The metadata of an event for something that was raised."
  # Without the arguments in the stack trace, which may be prompts.
  @spec failure(atom(), term(), Exception.stacktrace()) :: map()
  def failure(kind, reason, stacktrace) do
    %{kind: kind, reason: reason, stacktrace: Enum.map(stacktrace, &without_arguments/1)}
  end

  defp without_arguments({module, function, arguments, location}) when is_list(arguments),
    do: {module, function, length(arguments), location}

  defp without_arguments(entry), do: entry
end
