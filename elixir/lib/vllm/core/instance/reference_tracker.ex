defmodule Vllm.Core.Instance.ReferenceTracker do
  @moduledoc false
  # Lets Python objects go when nobody in the BEAM holds them any more.
  #
  # The worker keeps an object alive for every time it has sent a reference to it. A reference is a
  # plain term here, which can be copied and forgotten without anybody noticing, so garbage cannot
  # be seen. What can be seen is the end of a process. So a reference is owned by the process that
  # received it, as an ETS table or a port is; `share/2` adds an owner, and the object is let go
  # when the last one ends or calls `release/1`.
  #
  # Engines are not owned: to lose an engine because the process that built it has ended would be a
  # surprise of half a minute. With `rpc: [link: true]` an engine is shut down with its owner.
  #
  # The messages come from the processes that received the references. A process that dies between
  # receiving and `track/3` sends none, and leaves its object with the worker until that ends: after
  # a kill at the wrong microsecond, for one message less on every call. For most objects that is a
  # few bytes. An engine is more, and so is a request that runs: who builds the one or adds the other
  # says that it has it (`Exchange.received/1`), and if it ended before, they end as well.

  use GenServer

  alias Vllm.{Codec, Ref}
  alias Vllm.Core.Instance.Locator

  # objects: {incarnation, id} => {times sent, MapSet of owners}; owners: pid => {monitor, MapSet of
  # objects}; linked: monitor => engine.
  defstruct [:instance, :shut_down, objects: %{}, owners: %{}, linked: %{}]

  @engine "AsyncLLM"
  @collector "RequestOutputCollector"

  # These hold no references and can be long: looking through every token id of every item would
  # cost more than anything else here.
  @without_refs [Vllm.RequestOutput, Vllm.PoolingRequestOutput, Vllm.Tensor, Vllm.Error]

  @doc "Takes the instance's name and the function that shuts an engine down."
  @spec start_link({atom(), (Ref.t() -> term())}) :: GenServer.on_start()
  def start_link({name, shut_down}) do
    GenServer.start_link(__MODULE__, {name, shut_down}, name: Locator.process_name(name, "Refs"))
  end

  @doc "Makes `owner` an owner of every reference in a value that it just received."
  @spec track(Locator.instance(), term(), pid()) :: :ok
  def track(instance, value, owner) do
    case value |> find([]) |> Enum.reject(&(&1.type == @engine)) do
      [] -> :ok
      refs -> cast(instance, {:track, keys(refs), owner})
    end
  end

  @doc "Lets go what is in a value that nobody received, and shuts an engine down."
  @spec discard(Locator.instance(), binary()) :: :ok
  def discard(instance, payload), do: cast(instance, {:discard, payload})

  @doc "Ends the engines and requests in a value whose receiver ended before it had them."
  @spec discard_handed(Locator.instance(), binary()) :: :ok
  def discard_handed(instance, payload), do: cast(instance, {:discard_handed, payload})

  @doc "Adds an owner."
  @spec share(Ref.t(), pid()) :: :ok
  def share(%Ref{instance: instance} = ref, owner), do: cast(instance, {:share, key(ref), owner})

  @doc "Ends the ownership of the calling process. An engine's reference has no owner and goes."
  @spec release(Ref.t()) :: :ok
  def release(%Ref{instance: instance} = ref) do
    message = if ref.type == @engine, do: {:drop, key(ref)}, else: {:release, key(ref), self()}
    with {:ok, server} <- Locator.server(instance, "Refs"), do: GenServer.call(server, message)
    :ok
  catch
    # Its worker is gone, and so is the object.
    :exit, _reason -> :ok
  end

  @doc "Shuts an engine down when `owner` ends."
  @spec link(Ref.t(), pid()) :: :ok
  def link(%Ref{instance: instance} = engine, owner), do: cast(instance, {:link, engine, owner})

  @doc "Every reference in a value."
  @spec find(term()) :: [Ref.t()]
  def find(value), do: find(value, [])

  defp find(%Ref{} = ref, found), do: [ref | found]
  defp find(%module{}, found) when module in @without_refs, do: found
  defp find(%MapSet{} = set, found), do: Enum.reduce(set, found, &find/2)
  defp find(%_{} = struct, found), do: struct |> Map.from_struct() |> find(found)
  defp find(%{} = map, found), do: Enum.reduce(map, found, &find/2)
  defp find([head | tail], found), do: find(tail, find(head, found))
  defp find(tuple, found) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> find(found)
  defp find(_other, found), do: found

  defp key(%Ref{incarnation: incarnation, id: id}), do: {incarnation, id}
  defp keys(refs), do: Enum.map(refs, &key/1)

  defp cast(instance, message) do
    with {:ok, server} <- Locator.server(instance, "Refs"), do: GenServer.cast(server, message)
    :ok
  end

  ## Callbacks

  @impl true
  def init({name, shut_down}),
    do: {:ok, %__MODULE__{instance: {name, node()}, shut_down: shut_down}}

  @impl true
  def handle_cast({:track, keys, owner}, state) do
    {:noreply, Enum.reduce(keys, state, &add(&2, &1, owner, 1))}
  end

  def handle_cast({:share, key, owner}, state), do: {:noreply, add(state, key, owner, 0)}

  def handle_cast({:discard, payload}, state) do
    with {:ok, value} <- Codec.decode(payload, state.instance) do
      for ref <- find(value, []), do: discard_one(state, ref)
    end

    {:noreply, state}
  end

  # Whether what else is in it was tracked is not known: it stays until the worker ends. A collector
  # was sent this once, so that letting it go twice is harmless.
  def handle_cast({:discard_handed, payload}, state) do
    with {:ok, value} <- Codec.decode(payload, state.instance) do
      for %Ref{type: type} = ref when type in [@engine, @collector] <- find(value, []),
          do: discard_one(state, ref)
    end

    {:noreply, state}
  end

  def handle_cast({:link, engine, owner}, state) do
    {:noreply, put_in(state.linked[Process.monitor(owner)], engine)}
  end

  @impl true
  def handle_call({:release, key, owner}, _from, state) do
    {:reply, :ok, remove(state, key, owner)}
  end

  def handle_call({:drop, key}, _from, state) do
    let_go(state, key, 1)
    {:reply, :ok, state}
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state)
      when is_map_key(state.linked, monitor) do
    {engine, linked} = Map.pop!(state.linked, monitor)
    shut_down(state, engine)
    {:noreply, %{state | linked: linked}}
  end

  def handle_info({:DOWN, _monitor, :process, owner, _reason}, state) do
    keys = Map.get(state.owners, owner, {nil, MapSet.new()}) |> elem(1)
    {:noreply, Enum.reduce(keys, state, &remove(&2, &1, owner))}
  end

  defp add(state, key, owner, times) do
    {sent, owners} = Map.get(state.objects, key, {0, MapSet.new()})
    {monitor, held} = Map.get_lazy(state.owners, owner, fn -> {monitor(owner), MapSet.new()} end)

    %{
      state
      | objects: Map.put(state.objects, key, {sent + times, MapSet.put(owners, owner)}),
        owners: Map.put(state.owners, owner, {monitor, MapSet.put(held, key)})
    }
  end

  defp monitor(owner), do: Process.monitor(owner)

  defp remove(state, key, owner) do
    with %{^owner => {monitor, held}} <- state.owners,
         %{^key => {sent, owners}} <- state.objects do
      owners = MapSet.delete(owners, owner)
      if MapSet.size(owners) == 0, do: let_go(state, key, sent)

      %{
        state
        | objects: put_or_delete(state.objects, key, {sent, owners}),
          owners: forget(state.owners, owner, monitor, MapSet.delete(held, key))
      }
    else
      _not_held -> state
    end
  end

  defp put_or_delete(objects, key, {sent, owners}) do
    if MapSet.size(owners) == 0,
      do: Map.delete(objects, key),
      else: Map.put(objects, key, {sent, owners})
  end

  defp forget(owners, owner, monitor, held) do
    if MapSet.size(held) == 0 do
      Process.demonitor(monitor, [:flush])
      Map.delete(owners, owner)
    else
      Map.put(owners, owner, {monitor, held})
    end
  end

  defp let_go(_state, _key, 0), do: :ok

  defp let_go(state, {incarnation, id}, times) do
    message = {:release, incarnation, List.duplicate(id, times)}
    with {:ok, server} <- Locator.server(state.instance, "Connection"), do: send(server, message)
    :ok
  end

  # Nobody can reach an engine that nobody received, and it would keep its memory for ever.
  defp discard_one(state, %Ref{type: @engine} = ref), do: shut_down(state, ref)
  defp discard_one(state, ref), do: let_go(state, key(ref), 1)

  # In a task, because it takes seconds.
  defp shut_down(state, engine) do
    {:ok, tasks} = Locator.server(state.instance, "Tasks")
    {:ok, _pid} = Task.Supervisor.start_child(tasks, fn -> state.shut_down.(engine) end)

    :ok
  end
end
