defmodule Vllm.Core.Instance.ReferenceTracker do
  @moduledoc false
  # Releases Python objects when no process on the BEAM holds a reference to them any more.
  #
  # The worker keeps an object alive for every time it has sent a reference to it. A reference is a
  # plain term here, which can be copied and dropped without notice, so unused ones cannot be found.
  # But the end of a process can be observed. So a reference is owned by the process that received it,
  # as an ETS table or a port is. `share/2` adds an owner, and the object is released when the last
  # owner ends or calls `release/1`.
  #
  # Engines have no owner: losing one because the process that built it has ended would be a surprise
  # that takes half a minute to repair. With `rpc: [link: true]` an engine is shut down with its owner.
  #
  # The process that receives a reference reports it with `track/3`. If it is killed between the two,
  # the object stays in the worker until the worker ends. That is accepted because it saves a message
  # on every call, and most objects are a few bytes. Engines and running requests are too large for
  # that: the caller confirms that it has them (`Caller.received/1`), and they are ended if it does not.

  use GenServer
  use Vllm.Core.RedactedServer

  alias Vllm.{Codec, Ref}
  alias Vllm.Core.RedactedServer
  alias Vllm.Core.Instance.Locator

  # objects: {incarnation, id} => {times sent, MapSet of owners}; owners: pid => {monitor, MapSet of
  # objects}; linked: monitor => engine.
  defstruct [:instance, :shut_down, objects: %{}, owners: %{}, linked: %{}]

  @engines ["AsyncLLM", "LLM"]
  @collector "RequestOutputCollector"

  # These hold no references and can be large: searching every token id of every item would cost
  # more than everything else in this module.
  @without_refs [Vllm.RequestOutput, Vllm.PoolingRequestOutput, Vllm.Tensor, Vllm.Error]

  @doc "Takes the instance's name and the function that shuts an engine down."
  @spec start_link({atom(), (Ref.t() -> term())}) :: GenServer.on_start()
  def start_link({name, shut_down}) do
    GenServer.start_link(__MODULE__, {name, shut_down},
      name: Locator.process_name(name, "ReferenceTracker")
    )
  end

  @doc "Makes `owner` an owner of every reference in a value that it just received."
  @spec track(Locator.instance(), term(), pid()) :: :ok
  def track(instance, value, owner) do
    case value |> find([]) |> Enum.reject(&(&1.type in @engines)) do
      [] -> :ok
      refs -> cast(instance, {:track, keys(refs), owner})
    end
  end

  @doc "Releases the references in a value that no process received; an engine is shut down."
  @spec discard(Locator.instance(), binary()) :: :ok
  def discard(instance, payload), do: cast(instance, {:discard, payload})

  @doc "Ends the engines and requests in a value whose receiver ended before it confirmed them."
  @spec discard_handed(Locator.instance(), binary()) :: :ok
  def discard_handed(instance, payload), do: cast(instance, {:discard_handed, payload})

  @doc "Adds an owner."
  @spec share(Ref.t(), pid()) :: :ok
  def share(%Ref{instance: instance} = ref, owner), do: cast(instance, {:share, key(ref), owner})

  @doc "Ends the ownership of the calling process. An engine's reference, which has no owner, is released."
  @spec release(Ref.t()) :: :ok
  def release(%Ref{instance: instance} = ref) do
    message = if ref.type in @engines, do: {:drop, key(ref)}, else: {:release, key(ref), self()}

    with {:ok, server} <- Locator.server(instance, "ReferenceTracker"),
         do: GenServer.call(server, message)

    :ok
  catch
    # The worker has ended, and the object with it.
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
    with {:ok, server} <- Locator.server(instance, "ReferenceTracker"),
         do: GenServer.cast(server, message)

    :ok
  end

  ## Callbacks

  @impl true
  def init({name, shut_down}),
    do: {:ok, %__MODULE__{instance: {name, node()}, shut_down: shut_down}}

  @impl true
  def handle_cast({:track, keys, owner}, state) when is_list(keys) and is_pid(owner) do
    {:noreply, Enum.reduce(keys, state, &add(&2, &1, owner, 1))}
  end

  def handle_cast({:share, {_, _} = key, owner}, state) when is_pid(owner),
    do: {:noreply, add(state, key, owner, 0)}

  def handle_cast({:discard, payload}, state) when is_binary(payload) do
    with {:ok, value} <- Codec.decode(payload, state.instance) do
      for ref <- find(value, []), do: discard_one(state, ref)
    end

    {:noreply, state}
  end

  # Only engines and collectors: whether the caller tracked the other references is not known, and
  # releasing one twice would be wrong. Those stay until the worker ends. A collector is sent only
  # once, so releasing it twice is harmless.
  def handle_cast({:discard_handed, payload}, state) when is_binary(payload) do
    with {:ok, value} <- Codec.decode(payload, state.instance) do
      for %Ref{type: type} = ref when type in [@collector | @engines] <- find(value, []),
          do: discard_one(state, ref)
    end

    {:noreply, state}
  end

  def handle_cast({:link, %Ref{} = engine, owner}, state) when is_pid(owner) do
    {:noreply, put_in(state.linked[Process.monitor(owner)], engine)}
  end

  def handle_cast(other, state), do: RedactedServer.stray(__MODULE__, "cast", other, state)

  @impl true
  def handle_call({:release, key, owner}, _from, state) do
    {:reply, :ok, remove(state, key, owner)}
  end

  def handle_call({:drop, {_, _} = key}, _from, state) do
    release_objects(state, key, 1)
    {:reply, :ok, state}
  end

  def handle_call(other, _from, state), do: RedactedServer.stray_call(__MODULE__, other, state)

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

  def handle_info(other, state), do: RedactedServer.stray(__MODULE__, "message", other, state)

  @doc false
  def format_status(status), do: RedactedServer.hide(status, &%{objects: map_size(&1.objects)})

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
      if MapSet.size(owners) == 0, do: release_objects(state, key, sent)

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

  defp release_objects(_state, _key, 0), do: :ok

  defp release_objects(state, {incarnation, id}, times) do
    message = {:release, incarnation, List.duplicate(id, times)}
    with {:ok, server} <- Locator.server(state.instance, "Connection"), do: send(server, message)
    :ok
  end

  # No process can reach an engine that none received, and it would keep its memory.
  defp discard_one(state, %Ref{type: type} = ref) when type in @engines, do: shut_down(state, ref)
  defp discard_one(state, ref), do: release_objects(state, key(ref), 1)

  # In a task, because it takes seconds.
  defp shut_down(state, engine) do
    {:ok, tasks} = Locator.server(state.instance, "Tasks")
    {:ok, _pid} = Task.Supervisor.start_child(tasks, fn -> state.shut_down.(engine) end)

    :ok
  end
end
