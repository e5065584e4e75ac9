defmodule Vllm.Core.Instance.EngineRetries do
  @moduledoc false
  # Decides when an engine that did not start, or has died, is built again: at once after its first
  # death, otherwise after a pause that doubles with every failure in a row. Failures are forgotten
  # when the engine has run for a minute.

  # Milliseconds.
  @first_pause 1_000
  @longest_pause 60_000
  @settled 60_000

  # failures: name => how many in a row; ready: name => the monotonic time when it was ready last.
  defstruct failures: %{}, ready: %{}

  @type t :: %__MODULE__{
          failures: %{atom() => pos_integer()},
          ready: %{atom() => integer()}
        }

  @doc "The engine is ready."
  @spec ready(t(), atom()) :: t()
  def ready(retries, name), do: %{retries | ready: Map.put(retries.ready, name, now())}

  @doc "The engine did not start. Returns the milliseconds until the next attempt."
  @spec not_started(t(), atom()) :: {pos_integer(), t()}
  def not_started(retries, name) do
    {failures, retries} = count(retries, name)
    {pause(failures), retries}
  end

  @doc "The engine has died. Returns the milliseconds until the next attempt, 0 the first time."
  @spec died(t(), atom()) :: {non_neg_integer(), t()}
  def died(retries, name) do
    case retries |> forget_if_settled(name) |> count(name) do
      {1, retries} -> {0, retries}
      {failures, retries} -> {pause(failures - 1), retries}
    end
  end

  defp forget_if_settled(retries, name) do
    if now() - Map.fetch!(retries.ready, name) < @settled,
      do: retries,
      else: %{retries | failures: Map.delete(retries.failures, name)}
  end

  defp count(retries, name) do
    failures = Map.update(retries.failures, name, 1, &(&1 + 1))
    {failures[name], %{retries | failures: failures}}
  end

  defp pause(failures),
    do: min(@first_pause * Integer.pow(2, min(failures - 1, 16)), @longest_pause)

  defp now, do: System.monotonic_time(:millisecond)
end
