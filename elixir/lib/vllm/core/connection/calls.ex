defmodule Vllm.Core.Connection.Calls do
  @moduledoc false
  # What callers and consumers want: a call begins, its stream gets a consumer, nobody wants it any
  # more. Who waits for which call stands in Vllm.Core.Connection.Routes; the worker is told by way of the outbox.

  alias Vllm.Error
  alias Vllm.Core.Call.{Caller, Producers}
  alias Vllm.Core.Connection.{Closing, Outgoing, Routes, State}
  alias Vllm.Core.Instance.ReferenceTracker
  alias Vllm.Proto.{CallRequest, StartCall}

  @typedoc "As `Vllm.Core.Call.Caller` sends it: who made the call, and what."
  @type call ::
          {:call, reply_to :: reference(), caller :: pid(), CallRequest.t(),
           window :: pos_integer(), producer :: pid() | nil}

  @doc "A call gets its number and goes into the next frame, or is refused."
  @spec start(State.t(), call()) :: State.step()
  def start(%{drain: drain} = state, {:call, reply_to, _caller, _request, _window, _producer})
      when drain != nil do
    tell(reply_to, Closing.stopping(state, "it takes no new calls"))
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

  @doc "The caller has what was handed over to it."
  @spec received(State.t(), reference()) :: State.t()
  def received(state, reply_to) do
    case Routes.take_handed(state.routes, reply_to) do
      {_value, routes} -> %{state | routes: routes}
      nil -> state
    end
  end

  @doc "A process wants the items of a stream."
  @spec attach(State.t(), Routes.id(), reference(), [pid()]) :: State.t()
  def attach(state, id, reply_to, watch) do
    {result, routes} = Routes.attach(state.routes, id, reply_to, watch)
    if result == :refused, do: tell(reply_to, consumed())
    %{state | routes: routes}
  end

  @doc """
  Nobody wants the call any more: it is found by its number, by the alias of its caller, or by the
  monitor of a process that has ended.
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
      "the stream was already enumerated or cancelled, or its owner ended before; a stream " <>
        "can be enumerated once"
    )
  end
end
