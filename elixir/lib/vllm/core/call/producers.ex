defmodule Vllm.Core.Call.Producers do
  @moduledoc false
  # Which process enumerates the argument of which call: the part of a connection's state that is
  # about streams to the worker, as Vllm.Core.Connection.Routes is about those from it.
  #
  # A producer ends by itself, soon after it was told to, and is forgotten then. A call may be over
  # while its producer is still wanted: what it returned goes on reading.

  alias Vllm.Core.Call.Producer
  alias Vllm.Proto.{Failure, Input}

  # How long the enumerable may take to notice that nobody wants its elements. It may wait for
  # something that never comes.
  @patience 5_000

  # calls: id => pid. monitors: the monitor of a producer => id.
  defstruct calls: %{}, monitors: %{}

  @type t :: %__MODULE__{
          calls: %{pos_integer() => pid()},
          monitors: %{reference() => pos_integer()}
        }

  @doc "The call `id` was sent, with an argument that `producer` enumerates."
  @spec start(t(), pos_integer(), pid()) :: t()
  def start(producers, id, producer) do
    %{
      producers
      | calls: Map.put(producers.calls, id, producer),
        monitors: Map.put(producers.monitors, Process.monitor(producer), id)
    }
  end

  @doc """
  The worker asks for an element. Returns what it has to be told instead where nobody makes one: the
  producer has ended before the worker knew the call, and what was said of that was lost.
  """
  @spec want(t(), pos_integer()) :: :ok | {:gone, Failure.t()}
  def want(producers, id) do
    case producers.calls do
      %{^id => producer} -> Producer.want(producer, id)
      %{} -> {:gone, %Failure{kind: :cancelled, message: "nobody enumerates the prompt any more"}}
    end
  end

  @doc "Nobody wants elements of these calls any more. `{:overdue, producer}` comes if one stays."
  @spec stop(t(), [pos_integer()]) :: :ok
  def stop(producers, ids) do
    for id <- ids, %{^id => producer} <- [producers.calls] do
      Producer.stop(producer)
      Process.send_after(self(), {:overdue, producer}, @patience)
    end

    :ok
  end

  @doc "Ends a producer in the middle of what it does."
  @spec kill(pid()) :: true
  def kill(producer), do: Process.exit(producer, :shutdown)

  @doc """
  A process has ended. If it is a producer, returns what the worker has to be told: nothing when it
  ended by itself, because it has said so.
  """
  @spec down(t(), reference(), term()) :: {:ok, [Input.t()], t()} | :unknown
  def down(producers, monitor, reason) do
    case Map.pop(producers.monitors, monitor) do
      {nil, _monitors} ->
        :unknown

      {id, monitors} ->
        producers = %{producers | calls: Map.delete(producers.calls, id), monitors: monitors}
        {:ok, if(reason == :normal, do: [], else: [lost(id, reason)]), producers}
    end
  end

  defp lost(id, reason) do
    message = "the process that enumerates the prompt ended: #{Exception.format_exit(reason)}"
    %Input{call: id, step: {:failure, %Failure{kind: :cancelled, message: message}}}
  end
end
