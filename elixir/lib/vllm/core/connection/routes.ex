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
  # The value of a call that builds something has one more phase: it is `:handed` over until its caller
  # confirms that it has it.
  #
  # In every phase some processes are monitored, and the end of any of them ends the call: the caller
  # until a consumer attaches, then the consumer. After that the caller may end, so a stream can be
  # passed to another process.
  #
  # Replies are sent to an alias, not a pid. When the receiver has stopped listening (its deadline
  # passed, the enumeration was halted), the runtime drops replies that are still under way, and its
  # mailbox stays clean.

  alias Vllm.Error

  # calls: id => call
  # ids: monitors and aliases by which a call is found => id
  defstruct calls: %{}, ids: %{}

  defmodule Call do
    @moduledoc false
    # reply_to: the alias of the caller, then of the consumer
    # found_by: the alias of the caller until a consumer attaches; a caller that stops waiting knows
    # the call by nothing else
    # kept: items that arrived before a consumer attached, newest first
    # last: how the stream ended before a consumer attached, or the value that is handed over
    # builds?: whether the value is handed over
    @enforce_keys [:phase, :watched]
    defstruct [:phase, :watched, :reply_to, :found_by, :last, kept: [], builds?: false]
  end

  @type id :: pos_integer()
  @type t :: %__MODULE__{
          calls: %{id() => %Call{}},
          ids: %{reference() => id()}
        }

  @doc "Adds a call that was sent. Its first reply goes to `reply_to`, an alias of `caller`."
  @spec start(t(), id(), reference(), pid(), boolean()) :: t()
  def start(routes, id, reply_to, caller, builds? \\ false) do
    monitor = Process.monitor(caller)

    call = %Call{
      phase: :waiting,
      watched: [monitor],
      reply_to: reply_to,
      found_by: reply_to,
      builds?: builds?
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

  # First, because nearly every reply is an item of a stream with a consumer.
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
    put(routes, id, %{call | kept: [payload | call.kept]})
  end

  defp handle(%Call{phase: :waiting} = call, {:accepted, _}, id, routes) do
    tell(call.reply_to, {:stream, {self(), id}})
    put(routes, id, %{call | phase: :open, reply_to: nil})
  end

  defp handle(%Call{phase: :waiting, builds?: true} = call, {:value, payload}, id, routes) do
    tell(call.reply_to, {:value, payload})
    put(routes, id, %{call | phase: :handed, reply_to: nil, last: payload})
  end

  # The stream ended before a consumer attached: kept for the consumer.
  defp handle(%Call{phase: :open} = call, last, id, routes) do
    put(routes, id, %{call | last: last})
  end

  defp handle(%Call{} = call, last, id, routes) do
    tell(call.reply_to, last)
    delete(routes, id, call)
  end

  @doc "Makes a process the consumer of a stream. The end of any process of `watch` ends the stream."
  @spec attach(t(), id(), reference(), [pid()]) :: {:ok | :refused, t()}
  def attach(routes, id, reply_to, watch) do
    case routes.calls do
      %{^id => %Call{phase: :open} = call} -> {:ok, flow(routes, id, call, reply_to, watch)}
      %{} -> {:refused, routes}
    end
  end

  defp flow(routes, id, call, reply_to, watch) do
    for payload <- Enum.reverse(call.kept), do: tell(reply_to, {:item, payload})
    routes = delete(routes, id, call)

    case call.last do
      nil ->
        monitors = Enum.map(watch, &Process.monitor/1)
        ids = Enum.reduce(monitors, routes.ids, &Map.put(&2, &1, id))
        call = %Call{phase: :flowing, watched: monitors, reply_to: reply_to}
        put(%{routes | ids: ids}, id, call)

      last ->
        tell(reply_to, last)
        routes
    end
  end

  @doc """
  Removes a call whose value was handed over, and returns the value: the caller has confirmed it, or
  has ended. The call is found by the alias or the monitor of its caller.
  """
  @spec take_handed(t(), reference()) :: {binary(), t()} | nil
  def take_handed(routes, reference) do
    with %{^reference => id} <- routes.ids,
         %{^id => %Call{phase: :handed} = call} <- routes.calls do
      {call.last, delete(routes, id, call)}
    else
      _not_handed -> nil
    end
  end

  @doc """
  Removes a cancelled call, found by its id, by the alias of its caller, or by the monitor of a
  process that ended. A process that still waits gets an error. Also returns the ids to cancel in the
  worker: none for a call that is over there.
  """
  @spec cancel(t(), id() | reference()) :: {[id()], t()}
  def cancel(routes, reference) when is_reference(reference) do
    case routes.ids do
      %{^reference => id} -> cancel(routes, id)
      %{} -> {[], routes}
    end
  end

  def cancel(routes, id) do
    case routes.calls do
      %{^id => %Call{} = call} ->
        if call.reply_to, do: tell(call.reply_to, {:error, cancelled()})
        {if(call.last, do: [], else: [id]), delete(routes, id, call)}

      %{} ->
        {[], routes}
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
