defmodule Vllm.Core.Call.Producers do
  @moduledoc false
  # Records which process enumerates the argument of which call: the part of a connection's state for
  # streams to the worker, as Vllm.Core.Connection.Routes is for streams from it.
  #
  # A producer ends by itself soon after it was told to, and is removed then. It may be needed longer
  # than its call is in Routes: the stream that the call returned goes on reading the argument.

  alias Vllm.Core.Call.Producer
  alias Vllm.Core.RedactedServer
  alias Vllm.Proto.{Failure, Input}

  # Milliseconds that a producer has to end. Its enumerable may be waiting for something that never
  # happens.
  @patience 5_000

  # calls: id => pid of the producer; monitors: monitor of the producer => id
  defstruct calls: %{}, monitors: %{}

  @type t :: %__MODULE__{
          calls: %{pos_integer() => pid()},
          monitors: %{reference() => pos_integer()}
        }

  @doc "Adds the producer of a call that was sent."
  @spec start(t(), pos_integer(), pid()) :: t()
  def start(producers, id, producer) do
    %{
      producers
      | calls: Map.put(producers.calls, id, producer),
        monitors: Map.put(producers.monitors, Process.monitor(producer), id)
    }
  end

  @doc """
  Asks the producer of a call for an element. Returns a failure for the worker if there is none: the
  producer ended before the worker knew the call, and its report was lost.
  """
  @spec want(t(), pos_integer()) :: :ok | {:gone, Failure.t()}
  def want(producers, id) do
    case producers.calls do
      %{^id => producer} ->
        Producer.want(producer, id)

      %{} ->
        {:gone,
         %Failure{kind: :cancelled, message: "the process that enumerates the prompt has ended"}}
    end
  end

  @doc """
  Tells the producers of these calls to end. This process gets `{:overdue, producer}` for one that may
  not have.
  """
  @spec stop(t(), [pos_integer()]) :: :ok
  def stop(producers, ids) do
    for id <- ids, %{^id => producer} <- [producers.calls] do
      Producer.stop(producer)
      Process.send_after(self(), {:overdue, producer}, @patience)
    end

    :ok
  end

  @doc "Ends a producer that has not ended by itself in time."
  @spec kill(pid()) :: true
  def kill(producer), do: Process.exit(producer, :shutdown)

  @doc """
  Handles the end of a process. For a producer, returns what to send to the worker: nothing if it
  ended by itself, because it has reported that.
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
    message = "the process that enumerates the prompt ended: #{shown(reason)}"
    %Input{call: id, step: {:failure, %Failure{kind: :cancelled, message: message}}}
  end

  # This is the connection's process: a reason of any size or kind is not made into text here.
  defp shown(reason) when is_atom(reason), do: Atom.to_string(reason)
  defp shown({:shutdown, reason}) when is_atom(reason), do: inspect({:shutdown, reason})
  defp shown(reason), do: "its exit reason was #{RedactedServer.shape(reason)}"
end
