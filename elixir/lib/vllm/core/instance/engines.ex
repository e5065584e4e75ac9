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
  # `fetch/3` runs before every request. So the references are in an ETS table that every process
  # reads directly; only a caller that has to wait for an engine sends a message.

  use GenServer
  use Vllm.Core.RedactedServer

  require Logger

  alias Vllm.{AsyncLLM, Call, Error, Ref}
  alias Vllm.Core.RedactedServer
  alias Vllm.Core.Instance.{EngineRetries, Locator}
  alias Vllm.Core.Telemetry.Emitter

  @part "Engines"

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
  # died_early: id => reason, of engines that died while one was being built. The death of the new
  # engine itself may be reported before its building returns.
  defstruct [
    :instance,
    :declared,
    :kind,
    :table,
    :task,
    queue: [],
    statuses: %{},
    waiting: %{},
    retries: %EngineRetries{},
    died_early: %{},
    stopping?: false
  ]

  @type status :: :building | {:ready, Ref.t()} | {:failed, Error.t()}

  @doc """
  Takes the instance's name, its declared engines, and whether they are its own or shared with other
  instances at the same worker.
  """
  @spec start_link({atom(), keyword(), :own | :shared}) :: GenServer.on_start()
  def start_link({instance, declared, kind}) do
    name = Locator.process_name(instance, @part)
    GenServer.start_link(__MODULE__, {instance, declared, kind}, name: name)
  end

  @doc "The engine with this name. Waits while it is being built."
  @spec fetch(Locator.instance(), atom(), timeout()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def fetch({instance, node} = location, name, timeout) do
    case node == node() && look(instance, name) do
      {:ready, ref} -> {:ok, ref}
      _otherwise -> ask(location, name, timeout)
    end
  end

  @doc "The status of each declared engine, in the order of their declaration."
  @spec statuses(Locator.instance()) :: {:ok, [{atom(), status()}]} | {:error, Error.t()}
  def statuses(location), do: call(location, :statuses, 5_000)

  @doc "The names of the engines that are ready, by the ids of their references."
  @spec names(Locator.instance()) :: %{String.t() => atom()}
  def names(location) do
    case statuses(location) do
      {:ok, statuses} -> for {name, {:ready, ref}} <- statuses, into: %{}, do: {ref.id, name}
      {:error, _error} -> %{}
    end
  end

  @doc "Stops building engines, because the instance stops. Called by Drain."
  @spec stop(Locator.instance()) :: :ok
  def stop(location) do
    {_ok, _answer} = call(location, :stop, 5_000)
    :ok
  end

  @doc "Reports that an engine has died. Called by Watchdog."
  @spec died(Locator.instance(), Ref.t(), String.t()) :: :ok
  def died({instance, _node}, ref, reason) do
    GenServer.cast(Locator.process_name(instance, @part), {:died, ref, reason})
  end

  @doc "Emits an event of an engine, with its name if it is declared. Called by Watchdog."
  @spec tell(Locator.instance(), atom(), Ref.t(), map(), map()) :: :ok
  def tell({instance, _node}, what, ref, measurements, metadata \\ %{}) do
    message = {:tell, what, ref, measurements, metadata}
    GenServer.cast(Locator.process_name(instance, @part), message)
  end

  defp look(instance, name) do
    case :ets.lookup(Locator.process_name(instance, @part), name) do
      [{^name, status}] -> status
      [] -> nil
    end
  rescue
    # There is no table: the instance is restarting or does not run.
    ArgumentError -> nil
  end

  defp ask(location, name, timeout) do
    with {:ok, answer} <- call(location, {:await, name}, timeout), do: answer
  end

  defp call(location, message, timeout) do
    case Locator.server(location, @part) do
      {:ok, server} -> {:ok, GenServer.call(server, message, timeout)}
      :error -> {:error, Locator.down(location, :noconnection)}
    end
  catch
    :exit, {:timeout, _call} -> {:error, late(message, timeout)}
    :exit, reason -> {:error, Locator.down(location, Locator.ended(reason))}
  end

  defp late({:await, name}, timeout) do
    Error.new(:timeout, "the engine #{inspect(name)} was not ready within #{timeout} ms")
  end

  defp late(_message, timeout) do
    Error.new(:timeout, "the process of the declared engines did not answer within #{timeout} ms")
  end

  ## Callbacks

  @impl true
  def init({instance, declared, kind}) do
    table = Locator.process_name(instance, @part)
    :ets.new(table, [:named_table, :protected, read_concurrency: true])
    state = %__MODULE__{instance: instance, declared: declared, kind: kind, table: table}
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

  def handle_call(:statuses, _from, state) do
    {:reply, Enum.map(state.declared, fn {name, _} -> {name, state.statuses[name]} end), state}
  end

  # Engines of a stopping instance are of no use, and building one would delay the stop by the whole
  # grace period.
  def handle_call(:stop, _from, state) do
    with {task, _what, _started} <- state.task, do: Task.shutdown(task, :brutal_kill)
    error = Error.new(:draining, "#{inspect(state.instance)} is stopping and builds no engines")
    building = for {name, :building} <- state.statuses, do: name
    state = %{state | task: nil, queue: [], stopping?: true}
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
    {:noreply, state}
  end

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

  # From a task that was ended, or a retry after the stop.
  def handle_info({ref, _result}, state) when is_reference(ref), do: {:noreply, state}
  def handle_info({:DOWN, _ref, :process, _pid, _reason}, state), do: {:noreply, state}
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
    %{state | statuses: Map.put(state.statuses, name, status)}
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
