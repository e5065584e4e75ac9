defmodule Vllm.Core.Worker.Explanation do
  @moduledoc false
  # Explains why an engine did not start. The exception that ended vLLM's process is only in the
  # worker's log. So the end of the log is marked before the call, and the lines after the mark are
  # read when the call has failed.
  #
  # The engines of a worker share its log. If several have failed meanwhile, the causes cannot be told
  # apart, and all of them are reported.

  alias Vllm.Error
  alias Vllm.Core.Worker
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Worker.Log

  # The lines may arrive later than the reply that they explain. The log is read again so often, after
  # a pause of so many milliseconds.
  @log_attempts 5
  @log_pause 100

  @typedoc "A place in the worker's log."
  @type mark :: non_neg_integer() | nil

  @doc "The end of the worker's log, for `explain/3`. `nil` if this instance has no log."
  @spec mark({atom(), node()}) :: mark()
  def mark(instance) do
    with {:ok, %{seen: seen}} <- instance_info(instance), do: seen
  end

  @doc """
  Adds what the worker has logged since `mark` to the error of an engine that did not start: the
  exception that ended vLLM's process becomes the message, the last lines become details.
  """
  @spec explain({atom(), node()}, Error.t(), mark()) :: Error.t()
  def explain(_instance, %Error{} = error, nil), do: error

  def explain(instance, %Error{} = error, mark) do
    lines = lines_since(instance, mark)

    {lines, causes} =
      with {_, []} <- {lines, Log.root_causes(lines)},
           do: read_again(instance, mark, @log_attempts)

    details = Map.put(error.details, "log", Log.shown(lines))
    explained = Map.put(details, "reported", error.message)

    case causes do
      [] -> %{error | details: details}
      [cause] -> %{error | message: cause, details: explained}
      causes -> %{error | message: several(error.message, causes), details: explained}
    end
  end

  defp several(message, causes) do
    message <>
      " Several engines of this worker failed at the same time; the log they share names these " <>
      "causes: " <> Enum.join(causes, "; ")
  end

  defp read_again(instance, mark, attempts) do
    receive do
    after
      @log_pause -> :ok
    end

    lines = lines_since(instance, mark)

    case Log.root_causes(lines) do
      [] when attempts > 1 -> read_again(instance, mark, attempts - 1)
      causes -> {lines, causes}
    end
  end

  @doc "What the worker has logged since `mark`, as far as it is kept."
  @spec lines_since({atom(), node()}, mark()) :: [String.t()]
  def lines_since(_instance, nil), do: []

  def lines_since(instance, mark) do
    case instance_info(instance) do
      {:ok, %{log: lines, seen: seen}} -> Enum.take(lines, -max(seen - mark, 0))
      nil -> []
    end
  end

  # `nil` for a worker that was started elsewhere: its log is there.
  defp instance_info(instance) do
    case Locator.server(instance, "Worker") do
      {:ok, server} -> {:ok, Worker.info(server)}
      :error -> nil
    end
  catch
    :exit, _reason -> nil
  end
end
