defmodule Vllm.Core.Connection.Calls do
  @moduledoc false
  # What callers and consumers ask of a connection: a call starts, its stream gets a consumer, or it
  # is no longer wanted. Routes records which process waits for which call; the worker is told through
  # the outbox.

  alias Vllm.Error
  alias Vllm.Core.Call.{Caller, Producers}
  alias Vllm.Core.Connection.{Closing, Outgoing, Routes, State}
  alias Vllm.Core.Instance.ReferenceTracker
  alias Vllm.Proto.{CallRequest, StartCall}

  @typedoc "A call as `Vllm.Core.Call.Caller` sends it."
  @type call ::
          {:call, reply_to :: reference(), caller :: pid(), CallRequest.t(),
           window :: pos_integer(), producer :: pid() | nil}

  @doc "Gives a call its number and puts it into the next frame, or refuses it because the instance stops."
  @spec start(State.t(), call()) :: State.step()
  def start(%{drain: drain} = state, {:call, reply_to, _caller, _request, _window, _producer})
      when drain != nil do
    tell(reply_to, Closing.stopping(state, "it accepts no new calls"))
    {:ok, state}
  end

  def start(state, {:call, reply_to, caller, request, window, producer}) do
    with {:ok, state} <- Outgoing.flush_releases(state) do
      id = state.next_id
      handed? = Caller.hands_over?(request)
      call = %StartCall{id: id, request: request, credit: window}
      bytes = IO.iodata_length([request.args | request.kwargs])

      state = %{
        state
        | next_id: id + 1,
          routes: Routes.start(state.routes, id, reply_to, caller, handed?),
          producers: producers(state.producers, id, producer)
      }

      {:ok, Outgoing.put(state, :calls, [call], bytes)}
    end
  end

  defp producers(producers, _id, nil), do: producers
  defp producers(producers, id, producer), do: Producers.start(producers, id, producer)

  @doc "The caller confirms that it has the value that was handed over to it."
  @spec received(State.t(), reference()) :: State.t()
  def received(state, reply_to) do
    case Routes.take_handed(state.routes, reply_to) do
      {_value, routes} -> %{state | routes: routes}
      nil -> state
    end
  end

  @doc "A process starts to consume a stream."
  @spec attach(State.t(), Routes.id(), reference(), [pid()]) :: State.t()
  def attach(state, id, reply_to, watch) do
    {result, routes} = Routes.attach(state.routes, id, reply_to, watch)
    if result == :refused, do: tell(reply_to, consumed())
    %{state | routes: routes}
  end

  @doc """
  Cancels a call, found by its number, by the alias of its caller, or by the monitor of a process
  that has ended.
  """
  @spec cancel(State.t(), Routes.id() | reference()) :: State.t()
  def cancel(state, id_or_reference) do
    case Routes.take_handed(state.routes, id_or_reference) do
      {value, routes} ->
        ReferenceTracker.discard_handed(state.instance, value)
        %{state | routes: routes}

      nil ->
        {ids, routes} = Routes.cancel(state.routes, id_or_reference)
        Producers.stop(state.producers, ids)
        Outgoing.put(%{state | routes: routes}, :cancels, ids)
    end
  end

  defp tell(reply_to, error), do: send(reply_to, {reply_to, {:error, error}})

  defp consumed do
    Error.new(
      :conflict,
      "the stream was already enumerated or cancelled, or its owner has ended; a stream can " <>
        "be enumerated once: start another request"
    )
  end
end
