defmodule Vllm.Core.Connection.References do
  @moduledoc false
  # Records which process answers for which reference. A value without process or socket.
  #
  # The worker keeps an object alive for every time it has sent a reference to it. A reference is a
  # plain term here, which can be copied and dropped without notice, so unused ones cannot be found.
  # But the end of a process can be observed. So a reference is owned by the process that received it,
  # as an ETS table or a port is. `share/3` adds an owner, and the object is released when the last
  # owner ends or releases it.
  #
  # At every moment one place answers for a reference that the worker has sent:
  #
  #     the reply is in the connection          its `parcel`, the ids that came with the reply
  #     it is on its way to its receiver        handed: until the receiver confirms it, the end of the
  #                                             receiver or its refusal returns the parcel
  #     the receiver has confirmed it           objects and owners
  #
  # The reply and the record are both made by the connection, and the receiver confirms to the
  # connection. So no order of messages of different processes matters: a receiver that is killed, or
  # that has stopped waiting, at whatever moment, leaves nothing.
  #
  # An engine that a call has built has no owner: losing one because the process that built it has
  # ended would be a surprise that takes half a minute to repair. Until it is confirmed its parcel is
  # returned like any other, and then it is shut down. With `rpc: [link: true]` that happens when its
  # owner ends, too.
  #
  # The worker needs to know that an engine was confirmed: what it has no receipt for it shuts down when
  # the session ends, because this process can do so no more. A linked engine gets none: when the
  # session has ended, nobody knows its owner.

  # The node of an owner may disconnect and come back, with the owner still there. So what it owns is
  # kept for a grace time, and the owner is monitored again when its node is connected again. A timer
  # takes the place of its monitor meanwhile. A receiver has no such time: it gets no reply any more.
  #
  # A session may be lost and come back too (Vllm.Core.Connection.Resumption): `keep/1` is what outlives
  # it, and `restore/3` monitors everybody again, so who has ended meanwhile is found at once.
  #
  # handed: alias of the receiver => {monitor, number => parcel}; the receiver is in `monitors`
  # objects: id => {times sent, MapSet of owners}
  # owners: pid => {monitor, MapSet of ids}
  # monitors: monitor => what it is for
  # count: parcels so far
  # grace: milliseconds to keep what processes of a disconnected node own
  # listening?: whether this process is told of nodes that are connected
  defstruct handed: %{},
            objects: %{},
            owners: %{},
            monitors: %{},
            count: 0,
            grace: 0,
            listening?: false

  @type id :: String.t()

  @typedoc "The ids of the references of one reply; whether the call has built what they stand for."
  @type parcel :: {[id()], built? :: boolean()}

  @type t :: %__MODULE__{
          handed: %{reference() => {reference(), %{pos_integer() => parcel()}}},
          objects: %{id() => {pos_integer(), MapSet.t(pid())}},
          owners: %{pid() => {reference(), MapSet.t(id())}},
          monitors: %{
            reference() => {:receiver, reference(), pid()} | purpose() | {:absent, purpose()}
          },
          count: non_neg_integer(),
          grace: non_neg_integer(),
          listening?: boolean()
        }

  @typep purpose :: {:owner, pid()} | {:link, pid(), [id()]}

  @typedoc "What outlives a session: `t:t/0` without monitors, and without engines that nobody confirmed."
  @type kept :: %{
          objects: %{id() => {pos_integer(), MapSet.t(pid())}},
          handed: [{reference(), pid(), %{pos_integer() => parcel()}}],
          count: non_neg_integer()
        }

  @doc "Nothing yet. `grace` is how long to keep what processes of a node own that has disconnected."
  @spec new(non_neg_integer()) :: t()
  def new(grace), do: %__MODULE__{grace: grace}

  @doc "Records that a parcel is sent to a process, at an alias. Returns the number of its receipt."
  @spec hand(t(), reference(), pid(), parcel()) :: {pos_integer(), t()}
  def hand(references, reply_to, receiver, parcel) do
    number = references.count + 1

    {{monitor, parcels}, references} =
      case references.handed do
        %{^reply_to => entry} -> {entry, references}
        %{} -> watch(references, receiver, {:receiver, reply_to, receiver})
      end

    handed = Map.put(references.handed, reply_to, {monitor, Map.put(parcels, number, parcel)})
    {number, %{references | handed: handed, count: number}}
  end

  @doc """
  The receiver has confirmed a parcel, and `owner` owns what is in it. If that is an engine that was
  built, it has no owner; with `link?` it is returned as a parcel when `owner` ends.
  """
  @spec received(t(), reference(), pos_integer(), pid(), boolean()) :: t()
  def received(references, reply_to, number, owner, link?) do
    case references.handed do
      %{^reply_to => {monitor, %{^number => parcel} = parcels}} ->
        references
        |> keep_handed(reply_to, monitor, Map.delete(parcels, number))
        |> own(parcel, owner, link?)

      %{} ->
        references
    end
  end

  @doc "The engines in a parcel that has not been confirmed yet."
  @spec engines(t(), reference(), pos_integer()) :: [id()]
  def engines(references, reply_to, number) do
    case references.handed do
      %{^reply_to => {_monitor, %{^number => {ids, true}}}} -> ids
      %{} -> []
    end
  end

  @doc "The receiver at an alias takes no more. Returns the parcels that it has not confirmed."
  @spec withdraw(t(), reference()) :: {[parcel()], t()}
  def withdraw(references, reply_to) do
    case references.handed do
      %{^reply_to => {monitor, parcels}} ->
        {Map.values(parcels), keep_handed(references, reply_to, monitor, %{})}

      %{} ->
        {[], references}
    end
  end

  @doc "Adds an owner of an object that has one."
  @spec share(t(), id(), pid()) :: t()
  def share(references, id, owner) when is_map_key(references.objects, id),
    do: add(references, id, owner, 0)

  def share(references, _released, _owner), do: references

  @doc """
  Ends the ownership of a process. Returns the ids to release, one for each time that the worker has
  sent the reference; `:not_owned` if the process is not an owner.
  """
  @spec release(t(), id(), pid()) :: {[id()], t()} | :not_owned
  def release(references, id, owner) do
    with %{^owner => {monitor, ids}} <- references.owners,
         %{^id => {sent, owners}} <- references.objects,
         true <- MapSet.member?(owners, owner) do
      references = keep_owner(references, owner, monitor, MapSet.delete(ids, id))
      remove(references, id, sent, MapSet.delete(owners, owner))
    else
      _not_owned -> :not_owned
    end
  end

  @doc """
  A monitor says that its process has ended, or that its node has disconnected. Returns the parcels that
  the process answered for, if they are not kept.
  """
  @spec down(t(), reference(), term()) :: {:ok, [parcel()], t()} | :unknown
  def down(%{grace: grace} = references, monitor, :noconnection) when grace > 0 do
    case references.monitors do
      %{^monitor => {:owner, _owner} = purpose} ->
        {:ok, [], absent(references, monitor, purpose)}

      %{^monitor => {:link, _owner, _} = purpose} ->
        {:ok, [], absent(references, monitor, purpose)}

      %{} ->
        ended(references, monitor)
    end
  end

  def down(references, monitor, _reason), do: ended(references, monitor)

  @doc "The grace time of a process is over. Returns what it answered for."
  @spec expired(t(), reference()) :: {:ok, [parcel()], t()} | :unknown
  def expired(references, timer) do
    with {:ok, parcels, references} <- ended(references, timer),
         do: {:ok, parcels, listen_if_needed(references)}
  end

  @doc "A node is connected: its processes are monitored again."
  @spec node_up(t(), node()) :: t()
  def node_up(references, node) do
    back =
      for {timer, {:absent, purpose}} <- references.monitors,
          node(elem(purpose, 1)) == node,
          do: {timer, purpose}

    back
    |> Enum.reduce(references, fn {timer, purpose}, references ->
      replace(references, timer, Process.monitor(elem(purpose, 1)), purpose)
    end)
    |> listen_if_needed()
  end

  defp absent(references, monitor, purpose) do
    timer = :erlang.start_timer(references.grace, self(), :absent)
    references = references |> replace(monitor, timer, {:absent, purpose}) |> listen_if_needed()
    node = node(elem(purpose, 1))
    # It may have come back before this process heard that it was gone.
    if node in Node.list(:connected), do: node_up(references, node), else: references
  end

  defp replace(references, before, monitor, purpose) do
    references = forget(references, before)
    references = put_in(references.monitors[monitor], purpose)

    case purpose do
      {:absent, {:owner, owner}} -> put_monitor(references, owner, monitor)
      {:owner, owner} -> put_monitor(references, owner, monitor)
      _link -> references
    end
  end

  defp put_monitor(references, owner, monitor),
    do: update_in(references.owners[owner], &put_elem(&1, 0, monitor))

  defp listen_if_needed(references) do
    needed? = Enum.any?(references.monitors, &match?({_timer, {:absent, _purpose}}, &1))
    if needed? != references.listening?, do: :net_kernel.monitor_nodes(needed?, node_type: :all)
    %{references | listening?: needed?}
  end

  defp ended(references, monitor) do
    case references.monitors do
      %{^monitor => {:receiver, reply_to, _receiver}} ->
        {parcels, references} = withdraw(references, reply_to)
        {:ok, parcels, references}

      %{^monitor => {:absent, purpose}} ->
        ended(references, monitor, purpose)

      %{^monitor => purpose} ->
        ended(references, monitor, purpose)

      %{} ->
        :unknown
    end
  end

  defp ended(references, _monitor, {:owner, owner}) do
    {_monitor, ids} = Map.fetch!(references.owners, owner)

    {released, references} =
      Enum.map_reduce(ids, references, fn id, references ->
        {_ids, _references} = release(references, id, owner)
      end)

    {:ok, [{Enum.concat(released), false}], references}
  end

  defp ended(references, monitor, {:link, _owner, ids}),
    do: {:ok, [{ids, true}], forget(references, monitor)}

  @doc "How many parcels are on their way, and how many objects have an owner."
  @spec sizes(t()) :: %{handed: non_neg_integer(), owned: non_neg_integer()}
  def sizes(references) do
    handed = for {_alias, {_monitor, parcels}} <- references.handed, do: map_size(parcels)
    %{handed: Enum.sum(handed), owned: map_size(references.objects)}
  end

  @doc "What outlives the session."
  @spec keep(t()) :: kept()
  def keep(references) do
    handed =
      for {reply_to, {monitor, parcels}} <- references.handed,
          parcels = Map.reject(parcels, fn {_number, {_ids, built?}} -> built? end),
          parcels != %{} do
        {:receiver, ^reply_to, receiver} = references.monitors[monitor]
        {reply_to, receiver, parcels}
      end

    %{objects: references.objects, handed: handed, count: references.count}
  end

  @doc """
  Goes on in a new session. `held` are the ids that the worker holds for it, each as often as it counts
  it. Also returns the ids to release: what the worker has sent and nobody here has heard of, and what
  was released here without the worker hearing of it.
  """
  @spec restore(kept(), [id()], non_neg_integer()) :: {t(), [id()]}
  def restore(kept, held, grace) do
    held = Enum.frequencies(held)
    references = %{new(grace) | count: kept.count}

    references =
      for {id, {sent, owners}} <- kept.objects, is_map_key(held, id), reduce: references do
        references ->
          references = Enum.reduce(owners, references, &add(&2, id, &1, 0))
          put_in(references.objects[id], {sent, owners})
      end

    references =
      for {reply_to, receiver, parcels} <- kept.handed, reduce: references do
        references ->
          purpose = {:receiver, reply_to, receiver}
          {{monitor, _none}, references} = watch(references, receiver, purpose)
          put_in(references.handed[reply_to], {monitor, parcels})
      end

    known = known(references)

    unknown = for {id, times} <- held, _ <- 1..(times - Map.get(known, id, 0))//1, do: id

    {references, unknown}
  end

  # How often each id came with what is recorded.
  defp known(references) do
    handed =
      for {_alias, {_monitor, parcels}} <- references.handed,
          {_number, {ids, _built?}} <- parcels,
          id <- ids,
          do: id

    owned = for {id, {sent, _owners}} <- references.objects, into: %{}, do: {id, sent}
    Map.merge(owned, Enum.frequencies(handed), fn _id, owned, handed -> owned + handed end)
  end

  defp own(references, {ids, false}, owner, _link?),
    do: Enum.reduce(ids, references, &add(&2, &1, owner, 1))

  defp own(references, {_engine, true}, _owner, false), do: references

  defp own(references, {engine, true}, owner, true) do
    {_entry, references} = watch(references, owner, {:link, owner, engine})
    references
  end

  defp add(references, id, owner, times) do
    {sent, owners} = Map.get(references.objects, id, {0, MapSet.new()})

    {{monitor, ids}, references} =
      case references.owners do
        %{^owner => entry} -> {entry, references}
        %{} -> watch(references, owner, {:owner, owner}, MapSet.new())
      end

    %{
      references
      | objects: Map.put(references.objects, id, {sent + times, MapSet.put(owners, owner)}),
        owners: Map.put(references.owners, owner, {monitor, MapSet.put(ids, id)})
    }
  end

  defp remove(references, id, sent, owners) do
    if MapSet.size(owners) == 0,
      do: {List.duplicate(id, sent), %{references | objects: Map.delete(references.objects, id)}},
      else: {[], put_in(references.objects[id], {sent, owners})}
  end

  defp keep_handed(references, reply_to, monitor, parcels) when parcels == %{} do
    references = forget(references, monitor)
    %{references | handed: Map.delete(references.handed, reply_to)}
  end

  defp keep_handed(references, reply_to, monitor, parcels),
    do: put_in(references.handed[reply_to], {monitor, parcels})

  defp keep_owner(references, owner, monitor, ids) do
    if MapSet.size(ids) == 0 do
      references = forget(references, monitor)
      %{references | owners: Map.delete(references.owners, owner)}
    else
      put_in(references.owners[owner], {monitor, ids})
    end
  end

  defp watch(references, process, purpose, nothing \\ %{}) do
    monitor = Process.monitor(process)
    {{monitor, nothing}, put_in(references.monitors[monitor], purpose)}
  end

  # A monitor, or the timer in the place of one.
  defp forget(references, monitor) do
    if match?({:absent, _purpose}, references.monitors[monitor]),
      do: :erlang.cancel_timer(monitor),
      else: Process.demonitor(monitor, [:flush])

    %{references | monitors: Map.delete(references.monitors, monitor)}
  end
end
