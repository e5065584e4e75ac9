defmodule Vllm.Core.Connection.Calls do
  @moduledoc false
  # What callers and consumers ask of a connection: a call starts, its stream gets a consumer, or it
  # is no longer wanted. Routes records which process waits for which call; the worker is told through
  # the outbox.

  alias Vllm.Error
  alias Vllm.Core.Call.Producers
  alias Vllm.Core.Connection.{Closing, Handover, Outgoing, Routes, State}
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
      call = %StartCall{id: id, request: request, credit: window}
      bytes = IO.iodata_length([request.args | request.kwargs])

      state = %{
        state
        | next_id: id + 1,
          routes: Routes.start(state.routes, id, reply_to, caller),
          producers: producers(state.producers, id, producer)
      }

      {:ok, Outgoing.put(state, :calls, [call], bytes)}
    end
  end

  defp producers(producers, _id, nil), do: producers
  defp producers(producers, id, producer), do: Producers.start(producers, id, producer)

  @doc "A process starts to consume a stream."
  @spec attach(State.t(), Routes.id(), reference(), [pid()]) :: State.t()
  def attach(state, id, reply_to, [consumer | _] = watch) do
    case Routes.attach(state.routes, id, reply_to, watch) do
      {:ok, kept, routes} ->
        Enum.reduce(kept, %{state | routes: routes}, fn {outcome, parcel}, state ->
          Handover.deliver(state, {reply_to, consumer}, outcome, parcel)
        end)

      :refused ->
        tell(reply_to, consumed())
        state
    end
  end

  @doc """
  Cancels a call, found by its number, by the alias of its caller, or by the monitor of a process
  that has ended. `reply_to` is the alias of a process that no longer listens: what was sent to it and
  not confirmed is released.
  """
  @spec cancel(State.t(), Routes.id() | reference(), reference() | nil) :: State.t()
  def cancel(state, id_or_reference, reply_to \\ nil) do
    {ids, parcels, routes} = Routes.cancel(state.routes, id_or_reference)
    Producers.stop(state.producers, ids)

    state = %{state | routes: routes} |> Outgoing.put(:cancels, ids) |> Handover.let_go(parcels)

    if reply_to, do: Handover.withdraw(state, reply_to), else: state
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
