defmodule Vllm.Core.Instance.Engines do
  @moduledoc false
  # Builds the engines that an instance declares, `engines: [llama: [model: "…"]]`, and rebuilds
  # them when they die.
  #
  # They are built one after the other, in the order of the list, because two engines that load at
  # once would each count the other's memory as used. An engine that has died is shut down first, to
  # free its memory, and rebuilt after that (Vllm.Core.Instance.EngineRetries says when). When the worker
  # is replaced this process restarts with it, and builds all engines again.
  #
  # In a worker that was started elsewhere an engine is asked for by its name: other instances may
  # have it built already, and it stays in the worker when this instance stops.
  #
  # Who looks for an engine does so by Vllm.Core.Instance.Declared. Pools that the instance belongs to
  # are told what it has (Vllm.Core.Instance.Reports).

  use GenServer
  use Vllm.Core.RedactedServer

  require Logger

  alias Vllm.{AsyncLLM, Call, Error, Ref}
  alias Vllm.Core.RedactedServer
  alias Vllm.Core.Instance.{Declared, EngineRetries, Locator, Reports}
  alias Vllm.Core.Pool.Scope
  alias Vllm.Core.Telemetry.Emitter
  alias Vllm.Proto.EngineLoad

  # The deadline for shutting a dead engine down. vLLM takes 3 to 4 s at most.
  @clearing [timeout: 60_000]

  # Milliseconds until a worker that was started elsewhere and is away is asked again.
  @away 200

  # Kinds of error that another attempt would only repeat.
  @permanent [:invalid, :not_found, :unsupported]

  # statuses: name => :building | {:ready, ref} | {:failed, error}
  # queue: jobs to do, {:clear, ref} and {:build, name}
  # task: {the task, its job, when it started}
  # waiting: name => callers that wait for the engine
  # pool: the pool that the instance joins, or nil; scope: the monitor of what it joins by
  # died_early: id => reason, of engines that died while one was being built. The death of the new
  # engine itself may be reported before its building returns.
  defstruct [
    :instance,
    :declared,
    :kind,
    :table,
    :task,
    :pool,
    :scope,
    :reports,
    queue: [],
    statuses: %{},
    waiting: %{},
    retries: %EngineRetries{},
    died_early: %{},
    stopping?: false
  ]

  @doc """
  Takes the instance's name, its declared engines, whether they are its own or shared with other
  instances at the same worker, and the pool that the instance joins, if there is one.
  """
  @spec start_link({atom(), keyword(), :own | :shared, atom()}) :: GenServer.on_start()
  def start_link({instance, _declared, _kind, _pool} = argument),
    do: GenServer.start_link(__MODULE__, argument, name: Declared.process_name(instance))

  @doc "Reports that an engine has died. Called by Watchdog."
  @spec died(Locator.instance(), Ref.t(), String.t()) :: :ok
  def died({instance, _node}, ref, reason) do
    GenServer.cast(Declared.process_name(instance), {:died, ref, reason})
  end

  @doc "Emits an event of an engine, with its name if it is declared. Called by Watchdog."
  @spec tell(Locator.instance(), atom(), Ref.t(), map(), map()) :: :ok
  def tell({instance, _node}, what, ref, measurements, metadata \\ %{}) do
    message = {:tell, what, ref, measurements, metadata}
    GenServer.cast(Declared.process_name(instance), message)
  end

  @doc "The worker has sent the loads of engines. Called by Watchdog."
  @spec loads(Locator.instance(), [EngineLoad.t()]) :: :ok
  def loads({instance, _node}, loads),
    do: GenServer.cast(Declared.process_name(instance), {:loads, loads})

  @doc "The worker is stopping. Called by Watchdog."
  @spec draining(Locator.instance()) :: :ok
  def draining({instance, _node}),
    do: GenServer.cast(Declared.process_name(instance), :draining)

  ## Callbacks

  @impl true
  def init({instance, declared, kind, pool}) do
    table = Declared.process_name(instance)
    :ets.new(table, [:named_table, :protected, read_concurrency: true])

    state = %__MODULE__{
      instance: instance,
      declared: declared,
      kind: kind,
      table: table,
      pool: pool,
      reports: %Reports{instance: {instance, node()}}
    }

    state = join(state)
    names = Keyword.keys(declared)
    state = Enum.reduce(names, state, &put_status(&2, &1, :building))
    {:ok, %{state | queue: Enum.map(names, &{:build, &1})}, {:continue, :next}}
  end

  @impl true
  def handle_continue(:next, state), do: {:noreply, next(state)}

  @impl true
  def handle_call({:await, name}, from, state) do
    case state.statuses do
      %{^name => :building} ->
        {:noreply, %{state | waiting: Map.update(state.waiting, name, [from], &[from | &1])}}

      %{^name => status} ->
        {:reply, answer(status), state}

      %{} ->
        {:reply, {:error, unknown(name, state)}, state}
    end
  end

  def handle_call(:statuses, _from, state), do: {:reply, statuses(state), state}

  # Engines of a stopping instance are of no use, and building one would delay the stop by the whole
  # grace period.
  def handle_call(:stop, _from, state) do
    with {task, _what, _started} <- state.task, do: Task.shutdown(task, :brutal_kill)
    error = Error.new(:draining, "#{inspect(state.instance)} is stopping and builds no engines")
    building = for {name, :building} <- state.statuses, do: name
    state = %{state | task: nil, queue: [], stopping?: true}
    state = report(%{state | reports: Reports.draining(state.reports)})
    {:reply, :ok, Enum.reduce(building, state, &settle(&2, &1, {:failed, error}))}
  end

  def handle_call(other, _from, state),
    do: RedactedServer.stray_call(__MODULE__, other, state)

  @impl true
  def handle_cast({:died, %Ref{id: id} = ref, reason}, state) do
    case Enum.find(state.statuses, &match?({_, {:ready, %Ref{id: ^id}}}, &1)) do
      {name, {:ready, dead}} ->
        event(:down, state, name, %{ref: dead, reason: reason})
        {:noreply, if(state.stopping?, do: state, else: rebuild(state, name, dead, reason))}

      nil ->
        event(:down, state, nil, %{ref: ref, reason: reason})
        {:noreply, if(state.task, do: put_in(state.died_early[id], reason), else: state)}
    end
  end

  def handle_cast({:tell, what, %Ref{id: id} = ref, measurements, metadata}, state)
      when is_atom(what) and is_map(measurements) and is_map(metadata) do
    {name, _status} =
      Enum.find(state.statuses, {nil, nil}, &match?({_, {:ready, %Ref{id: ^id}}}, &1))

    event(what, state, name, Map.put(metadata, :ref, ref), measurements)
    {:noreply, moves(what, id, state)}
  end

  def handle_cast({:loads, loads}, state) when is_list(loads) do
    reports = Reports.loads(state.reports, loads, statuses(state))
    {:noreply, report(%{state | reports: reports})}
  end

  def handle_cast(:draining, state),
    do: {:noreply, report(%{state | reports: Reports.draining(state.reports)})}

  def handle_cast({:report_to, receiver}, state) when is_pid(receiver),
    do: {:noreply, %{state | reports: Reports.add(state.reports, receiver, statuses(state))}}

  def handle_cast(other, state),
    do: RedactedServer.stray(__MODULE__, "cast", other, state)

  @impl true
  def handle_info({ref, result}, %{task: {%{ref: ref}, what, started}} = state) do
    Process.demonitor(ref, [:flush])
    {:noreply, %{state | task: nil} |> done(what, result, duration(started)) |> next()}
  end

  def handle_info({:DOWN, ref, _, _, reason}, %{task: {%{ref: ref}, what, started}} = state) do
    message = "the task that built the engine ended: #{RedactedServer.reason(reason)}"
    error = Error.new(:python, message)
    {:noreply, %{state | task: nil} |> done(what, {:error, error}, duration(started)) |> next()}
  end

  def handle_info({:retry, name}, %{stopping?: false} = state)
      when is_map_key(state.statuses, name) do
    {:noreply, state |> put_status(name, :building) |> enqueue({:build, name})}
  end

  def handle_info({:DOWN, scope, :process, _pid, _reason}, %{scope: scope} = state) do
    Process.send_after(self(), :join, @away)
    {:noreply, %{state | scope: nil}}
  end

  def handle_info(:join, %{scope: nil} = state), do: {:noreply, join(state)}
  def handle_info(:join, state), do: {:noreply, state}

  # From a task that was ended, or a retry after the stop.
  def handle_info({ref, _result}, state) when is_reference(ref), do: {:noreply, state}

  # Of such a task, or of a pool that is told no more.
  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state),
    do: {:noreply, %{state | reports: Reports.down(state.reports, monitor)}}

  def handle_info({:retry, _name}, %{stopping?: true} = state), do: {:noreply, state}

  def handle_info(other, state),
    do: RedactedServer.stray(__MODULE__, "message", other, state)

  @impl RedactedServer.format_status?()
  # The arguments of an engine may hold secrets, and an error may quote them.
  def format_status(status) do
    RedactedServer.hide(status, fn %{instance: instance, statuses: statuses} ->
      %{instance: instance, statuses: Map.new(statuses, fn {name, it} -> {name, state(it)} end)}
    end)
  end

  defp state(:building), do: :building
  defp state({state, _ref_or_error}), do: state

  ## For pools

  defp join(%{pool: nil} = state), do: state
  defp join(%{pool: pool} = state), do: %{state | scope: Scope.join(pool)}

  defp moves(:stalled, id, state), do: stalled(state, id, true)
  defp moves(:recovered, id, state), do: stalled(state, id, false)
  defp moves(_other, _id, state), do: state

  defp stalled(state, id, stalled?) do
    reports = Reports.stalled(state.reports, id, stalled?, statuses(state))
    report(%{state | reports: reports})
  end

  defp report(state), do: %{state | reports: Reports.tell(state.reports, statuses(state))}

  defp statuses(state),
    do: Enum.map(state.declared, fn {name, _} -> {name, state.statuses[name]} end)

  ## Building

  defp enqueue(state, what), do: next(%{state | queue: state.queue ++ [what]})

  defp next(%{task: nil, queue: [what | queue]} = state) do
    tasks = Locator.process_name(state.instance, "Tasks")
    task = Task.Supervisor.async_nolink(tasks, job(what, state))
    %{state | queue: queue, task: {task, what, System.monotonic_time()}, died_early: %{}}
  end

  defp next(state), do: state

  defp job({:build, name}, %{instance: instance, declared: declared, kind: kind}) do
    arguments = Keyword.fetch!(declared, name)
    guarded(fn -> build(kind, instance, name, arguments) end)
  end

  # A dead engine keeps memory in the worker until it is shut down.
  defp job({:clear, dead}, _state),
    do: guarded(fn -> AsyncLLM.shutdown(dead, rpc: @clearing) end)

  defp build(:own, instance, _name, arguments),
    do: AsyncLLM.from_engine_args(instance, arguments)

  defp build(:shared, instance, name, arguments) do
    arguments = [instance, Atom.to_string(name), arguments, [rpc: [timeout: :infinity]]]
    Call.invoke_class("AsyncLLM", "declared", 2, arguments)
  end

  # The report of a task that crashes would show the arguments of the engine in its stack trace.
  defp guarded(job), do: fn -> RedactedServer.guarded(__MODULE__, job) end

  # Its result does not matter: if memory was not freed, building the new engine fails and says so.
  defp done(state, {:clear, _dead}, _result, _duration), do: state

  defp done(state, {:build, name}, {:ok, ref}, duration) do
    state = %{state | retries: EngineRetries.ready(state.retries, name)}

    case state.died_early[ref.id] do
      nil ->
        event(:up, state, name, %{ref: ref}, %{duration: duration})
        settle(state, name, {:ready, ref})

      reason ->
        rebuild(state, name, ref, reason)
    end
  end

  # The session is lost, or not open yet. The connection tells of that.
  defp done(%{kind: :shared} = state, {:build, name}, {:error, %{kind: :worker_down} = error}, _) do
    retry_after(@away, name)
    settle(state, name, {:failed, error})
  end

  defp done(state, {:build, name}, {:error, error}, duration) do
    event(:failed, state, name, %{error: error}, %{duration: duration})
    {pause, retries} = EngineRetries.not_started(state.retries, name)
    again? = error.kind not in @permanent
    if again?, do: retry_after(pause, name)

    Logger.error(
      "the engine #{inspect(name)} did not start: #{error.message}" <>
        if(again?, do: "; next attempt in #{pause} ms", else: ""),
      vllm_instance: state.instance
    )

    settle(%{state | retries: retries}, name, {:failed, error})
  end

  defp rebuild(state, name, dead, reason) do
    state = enqueue(state, {:clear, dead})
    {pause, retries} = EngineRetries.died(state.retries, name)
    state = %{state | retries: retries}

    if pause == 0 do
      state |> put_status(name, :building) |> enqueue({:build, name})
    else
      retry_after(pause, name)
      settle(state, name, {:failed, Error.new(:engine_dead, reason)})
    end
  end

  defp retry_after(pause, name), do: Process.send_after(self(), {:retry, name}, pause)

  defp settle(state, name, status), do: state |> put_status(name, status) |> answer_waiting(name)

  defp duration(started), do: System.monotonic_time() - started

  defp answer_waiting(state, name) do
    {callers, waiting} = Map.pop(state.waiting, name, [])
    for from <- callers, do: GenServer.reply(from, answer(state.statuses[name]))
    %{state | waiting: waiting}
  end

  defp answer({:ready, ref}), do: {:ok, ref}
  defp answer({:failed, error}), do: {:error, error}

  defp put_status(state, name, status) do
    :ets.insert(state.table, {name, status})
    report(%{state | statuses: Map.put(state.statuses, name, status)})
  end

  defp unknown(name, state) do
    known = Enum.map_join(state.declared, ", ", fn {known, _} -> inspect(known) end)

    Error.new(
      :not_found,
      "#{inspect(state.instance)} has no engine #{inspect(name)}; " <>
        if(known == "", do: "none is declared with the option :engines", else: "it has #{known}")
    )
  end

  defp event(what, state, name, metadata, measurements \\ %{}) do
    metadata = Map.merge(metadata, %{instance: state.instance, engine: name})
    Emitter.event([:vllm, :engine, what], measurements, metadata)
  end
end
