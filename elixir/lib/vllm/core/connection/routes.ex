defmodule Vllm.Core.Connection.Routes do
  @moduledoc false
  # Records which process waits for which call, and sends it the replies. A value without process or
  # socket.
  #
  # A call goes through these phases:
  #
  #     :waiting --value/failure--> removed
  #         | accepted
  #         v
  #     :open ---- attach --------> :flowing ---end/failure--> removed
  #       items are kept, at most     items are sent to the consumer
  #       the credit of the stream
  #
  # A reply that holds references comes with a parcel of their ids: see Vllm.Core.Connection.Handover,
  # which sends it.
  #
  # In every phase some processes are monitored, and the end of any of them ends the call: the caller
  # until a consumer attaches, then the consumer. After that the caller may end, so a stream can be
  # passed to another process.
  #
  # Replies are sent to an alias, not a pid. When the receiver has stopped listening (its deadline
  # passed, the enumeration was halted), the runtime drops replies that are still under way, and its
  # mailbox stays clean.

  alias Vllm.Error
  alias Vllm.Core.Connection.References

  # calls: id => call
  # ids: monitors and aliases by which a call is found => id
  defstruct calls: %{}, ids: %{}

  defmodule Call do
    @moduledoc false
    # reply_to: the alias of the receiver: the caller, then the consumer
    # found_by: the alias of the caller until a consumer attaches; a caller that stops waiting knows
    # the call by nothing else
    # kept: items that arrived before a consumer attached, each with its parcel or nil, newest first
    # last: how the stream ended before a consumer attached
    @enforce_keys [:phase, :watched]
    defstruct [:phase, :watched, :receiver, :reply_to, :found_by, :last, kept: []]
  end

  @type id :: pos_integer()
  @type t :: %__MODULE__{
          calls: %{id() => %Call{}},
          ids: %{reference() => id()}
        }

  @doc "Adds a call that was sent. Its first reply goes to `reply_to`, an alias of `caller`."
  @spec start(t(), id(), reference(), pid()) :: t()
  def start(routes, id, reply_to, caller) do
    monitor = Process.monitor(caller)

    call = %Call{
      phase: :waiting,
      watched: [monitor],
      receiver: caller,
      reply_to: reply_to,
      found_by: reply_to
    }

    %{
      routes
      | calls: Map.put(routes.calls, id, call),
        ids: routes.ids |> Map.put(monitor, id) |> Map.put(reply_to, id)
    }
  end

  @doc """
  Handles a reply. Returns `:unknown` for a call that was cancelled.
  """
  @spec reply(t(), id(), {atom(), term()}) :: {:ok, t()} | :unknown
  def reply(routes, id, outcome) do
    case routes.calls do
      %{^id => call} -> {:ok, handle(call, outcome, id, routes)}
      %{} -> :unknown
    end
  end

  @doc "Handles an item without references: `:ok` where nothing changes, as for nearly every reply."
  @spec item(t(), id(), binary()) :: :ok | {:ok, t()}
  def item(routes, id, payload) do
    case routes.calls do
      %{^id => %Call{phase: :flowing, reply_to: reply_to}} ->
        tell(reply_to, {:item, payload})
        :ok

      %{^id => call} ->
        {:ok, handle(call, {:item, payload}, id, routes)}

      %{} ->
        :ok
    end
  end

  defp handle(%Call{phase: :flowing} = call, {:item, payload}, _id, routes) do
    tell(call.reply_to, {:item, payload})
    routes
  end

  # How far a call has come is told until it has returned.
  defp handle(%Call{phase: phase} = call, {:progress, _} = progress, _id, routes) do
    if phase == :waiting, do: tell(call.reply_to, progress)
    routes
  end

  defp handle(%Call{phase: :open} = call, {:item, payload}, id, routes) do
    put(routes, id, %{call | kept: [{payload, nil} | call.kept]})
  end

  defp handle(%Call{phase: :waiting} = call, {:accepted, _}, id, routes) do
    tell(call.reply_to, {:stream, {self(), id}})
    put(routes, id, %{call | phase: :open, reply_to: nil, receiver: nil})
  end

  # The stream ended before a consumer attached: kept for the consumer.
  defp handle(%Call{phase: :open} = call, last, id, routes) do
    put(routes, id, %{call | last: last})
  end

  defp handle(%Call{} = call, last, id, routes) do
    tell(call.reply_to, last)
    delete(routes, id, call)
  end

  @doc """
  Handles a reply that holds references: returns the alias and the process to send it to. An item
  without a consumer is kept, with its parcel. `:not_wanted` for a call that was cancelled, or that
  should not get such a reply.
  """
  @spec hand(t(), id(), {atom(), term()}, References.parcel()) ::
          {:hand, {reference(), pid()}, t()} | {:kept, t()} | :not_wanted
  def hand(routes, id, {kind, payload}, parcel) do
    case {kind, routes.calls} do
      {:value, %{^id => %Call{phase: :waiting} = call}} ->
        {:hand, {call.reply_to, call.receiver}, delete(routes, id, call)}

      {:item, %{^id => %Call{phase: :flowing} = call}} ->
        {:hand, {call.reply_to, call.receiver}, routes}

      {:item, %{^id => %Call{phase: :open} = call}} ->
        {:kept, put(routes, id, %{call | kept: [{payload, parcel} | call.kept]})}

      _not_wanted ->
        :not_wanted
    end
  end

  @doc """
  Makes the first process of `watch` the consumer of a stream; the end of any of them ends the stream.
  Returns the replies that were kept for it, each with its parcel or nil.
  """
  @spec attach(t(), id(), reference(), [pid(), ...]) ::
          {:ok, [{{atom(), term()}, References.parcel() | nil}], t()} | :refused
  def attach(routes, id, reply_to, watch) do
    case routes.calls do
      %{^id => %Call{phase: :open} = call} ->
        items = for {payload, parcel} <- Enum.reverse(call.kept), do: {{:item, payload}, parcel}
        last = if call.last, do: [{call.last, nil}], else: []
        routes = delete(routes, id, call)
        routes = if call.last, do: routes, else: flow(routes, id, reply_to, watch)
        {:ok, items ++ last, routes}

      %{} ->
        :refused
    end
  end

  defp flow(routes, id, reply_to, [consumer | _] = watch) do
    monitors = Enum.map(watch, &Process.monitor/1)
    ids = Enum.reduce(monitors, routes.ids, &Map.put(&2, &1, id))
    call = %Call{phase: :flowing, watched: monitors, receiver: consumer, reply_to: reply_to}
    put(%{routes | ids: ids}, id, call)
  end

  @doc """
  Removes a cancelled call, found by its id, by the alias of its caller, or by the monitor of a
  process that ended. A process that still waits gets an error. Also returns the ids to cancel in the
  worker, none for a call that is over there, and the parcels of items that were kept.
  """
  @spec cancel(t(), id() | reference()) :: {[id()], [References.parcel()], t()}
  def cancel(routes, reference) when is_reference(reference) do
    case routes.ids do
      %{^reference => id} -> cancel(routes, id)
      %{} -> {[], [], routes}
    end
  end

  def cancel(routes, id) do
    case routes.calls do
      %{^id => %Call{} = call} ->
        if call.reply_to, do: tell(call.reply_to, {:error, cancelled()})
        parcels = for {_payload, {_, _} = parcel} <- call.kept, do: parcel
        {if(call.last, do: [], else: [id]), parcels, delete(routes, id, call)}

      %{} ->
        {[], [], routes}
    end
  end

  @doc "Answers every call with `error`, because the session has ended."
  @spec fail_all(t(), Error.t()) :: :ok
  def fail_all(routes, error) do
    for {_id, %Call{reply_to: alias_ref}} <- routes.calls, alias_ref != nil do
      tell(alias_ref, {:error, error})
    end

    :ok
  end

  @doc "How many calls are in flight."
  @spec size(t()) :: non_neg_integer()
  def size(routes), do: map_size(routes.calls)

  defp tell(alias_ref, message), do: send(alias_ref, {alias_ref, message})

  defp put(routes, id, call), do: %{routes | calls: Map.put(routes.calls, id, call)}

  defp delete(routes, id, call) do
    Enum.each(call.watched, &Process.demonitor(&1, [:flush]))

    %{
      routes
      | calls: Map.delete(routes.calls, id),
        ids: Map.drop(routes.ids, [call.found_by | call.watched])
    }
  end

  defp cancelled, do: Error.new(:cancelled, "the call was cancelled")
end
