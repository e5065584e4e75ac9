defmodule Vllm.Core.Worker.Explanation do
  @moduledoc false
  # Why an engine did not start. What ended vLLM's process stands in the worker's log and nowhere
  # else: its place there is marked before the call, and what follows it is read when the call failed.
  # Engines of one worker share its log: where several have failed meanwhile, no cause is any one's.

  alias Vllm.Error
  alias Vllm.Core.Worker
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Worker.Log

  # The log may be a little behind the reply that it explains: how often it is looked at again, and
  # after how many milliseconds each time.
  @log_looks 5
  @log_delay 100

  @typedoc "A place in the worker's log."
  @type mark :: non_neg_integer() | nil

  @doc "Where the worker's log ends now, for `explain/3`. `nil` if the log is not ours to read."
  @spec mark({atom(), node()}) :: mark()
  def mark(instance) do
    with {:ok, %{seen: seen}} <- instance_info(instance), do: seen
  end

  @doc """
  Adds what the worker's log says since `mark` about an engine that did not start: the exception
  that ended vLLM's process to the message, the last lines to the details.
  """
  @spec explain({atom(), node()}, Error.t(), mark()) :: Error.t()
  def explain(_instance, %Error{} = error, nil), do: error

  def explain(instance, %Error{} = error, mark) do
    lines = lines_since(instance, mark)

    {lines, causes} =
      with {_, []} <- {lines, Log.root_causes(lines)}, do: look_again(instance, mark, @log_looks)

    details = Map.put(error.details, "log", Log.shown(lines))
    told = Map.put(details, "reported", error.message)

    case causes do
      [] -> %{error | details: details}
      [cause] -> %{error | message: cause, details: told}
      causes -> %{error | message: among(error.message, causes), details: told}
    end
  end

  defp among(message, causes) do
    message <>
      " Several engines have failed meanwhile, and the worker's log, which is that of all, names: " <>
      Enum.join(causes, "; ")
  end

  defp look_again(instance, mark, looks) do
    receive do
    after
      @log_delay -> :ok
    end

    lines = lines_since(instance, mark)

    case Log.root_causes(lines) do
      [] when looks > 1 -> look_again(instance, mark, looks - 1)
      causes -> {lines, causes}
    end
  end

  defp lines_since(instance, mark) do
    case instance_info(instance) do
      {:ok, %{log: lines, seen: seen}} -> Enum.take(lines, -max(seen - mark, 0))
      nil -> []
    end
  end

  # A worker of somebody else has its log elsewhere.
  defp instance_info(instance) do
    case Locator.server(instance, "Worker") do
      {:ok, server} -> {:ok, Worker.info(server)}
      :error -> nil
    end
  catch
    :exit, _reason -> nil
  end
end
