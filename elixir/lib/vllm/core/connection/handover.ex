defmodule Vllm.Core.Connection.Handover do
  @moduledoc false
  # Hands replies over that hold references, and releases what no process receives.
  #
  # The worker says with each reply which references it holds, so the connection need not decode the
  # value. The receiver gets `{:handed, receipt, reply}`, where other replies come as they are, and
  # confirms it (Vllm.Core.Call.Ownership) when it has decoded it.

  alias Vllm.Core.Connection.{Outgoing, References, Routes, State}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Proto.{CallRequest, StartCall}

  @doc "Handles a reply that holds references."
  @spec reply(State.t(), Routes.id(), {atom(), term()}, References.parcel()) :: State.t()
  def reply(state, id, outcome, parcel) do
    case Routes.hand(state.routes, id, outcome, parcel) do
      {:hand, receiver, routes} -> deliver(%{state | routes: routes}, receiver, outcome, parcel)
      {:kept, routes} -> %{state | routes: routes}
      # The call was cancelled, or its reply is one that it should not get.
      :not_wanted -> let_go(state, [parcel])
    end
  end

  @doc "Sends a reply, with a receipt if it holds references, to a process at an alias."
  @spec deliver(State.t(), {reference(), pid()}, {atom(), term()}, References.parcel() | nil) ::
          State.t()
  def deliver(state, {reply_to, _receiver}, outcome, nil) do
    send(reply_to, {reply_to, outcome})
    state
  end

  def deliver(state, {reply_to, receiver}, outcome, parcel) do
    {number, references} = References.hand(state.references, reply_to, receiver, parcel)
    send(reply_to, {reply_to, {:handed, {server(state), reply_to, number}, outcome}})
    %{state | references: references}
  end

  # By its name, because a receipt may come when the session is lost, and is for the next process then.
  defp server(%{instance: {name, _node}}), do: {Locator.process_name(name, "Connection"), node()}

  @doc """
  The receiver at an alias has confirmed a parcel. That an engine has been received is told to the
  worker at once: it shuts it down if the session ends before.
  """
  @spec received(State.t(), reference(), pos_integer(), pid(), boolean()) :: State.step()
  def received(state, reply_to, number, owner, link?) do
    engines = if link?, do: [], else: References.engines(state.references, reply_to, number)
    references = References.received(state.references, reply_to, number, owner, link?)
    state = Outgoing.put(%{state | references: references}, :receipts, engines)
    if engines == [], do: {:ok, state}, else: Outgoing.flush(state)
  end

  @doc "The receiver at an alias takes no more: releases what it has not confirmed."
  @spec withdraw(State.t(), reference()) :: State.t()
  def withdraw(state, reply_to) do
    {parcels, references} = References.withdraw(state.references, reply_to)
    let_go(%{state | references: references}, parcels)
  end

  @doc "Ends the ownership of a process. The reference of an engine without owner is released once."
  @spec release(State.t(), References.id(), pid(), boolean()) :: State.t()
  def release(state, id, owner, engine?) do
    case References.release(state.references, id, owner) do
      {ids, references} -> Outgoing.put(%{state | references: references}, :releases, ids)
      :not_owned when engine? -> Outgoing.put(state, :releases, [id])
      :not_owned -> state
    end
  end

  @doc "Releases what came in these parcels. An engine that was built for nobody is shut down."
  @spec let_go(State.t(), [References.parcel()]) :: State.t()
  def let_go(state, parcels) do
    Enum.reduce(parcels, state, fn {ids, built?}, state ->
      state = if built?, do: Enum.reduce(ids, state, &shut_down/2), else: state
      Outgoing.put(state, :releases, ids)
    end)
  end

  # A call that nobody waits for. No process can reach the engine, and it would keep its memory.
  defp shut_down(engine, %{next_id: id} = state) do
    request = %CallRequest{
      target: {:ref, engine},
      incarnation: state.hello.incarnation,
      method: "shutdown"
    }

    call = %StartCall{id: id, request: request, credit: 1}
    Outgoing.put(%{state | next_id: id + 1}, :calls, [call])
  end
end
