defmodule Vllm.Engines do
  @moduledoc false
  # The engines that an instance was told to have: `engines: [llama: [model: "…"]]`.
  #
  # They are built one after the other, in the order of the list: two that load at once would each
  # take the other's memory for used. An engine that dies is built again, at once the first time
  # and then after a pause that doubles. With a new worker everything starts again, because this
  # process restarts with it.
  #
  # `fetch/3` is asked before every request, so the references stand in a table that every process
  # reads by itself; only who has to wait comes here.

  use GenServer

  require Logger

  alias Vllm.{AsyncLLM, Connection, Error, Instance, Ref, Telemetry}

  @part "Engines"

  # Milliseconds until an engine that did not start is tried again; doubled each time.
  @first_pause 1_000
  @longest_pause 60_000

  # Another try gives the same.
  @permanent [:invalid, :not_found, :unsupported]

  # statuses: name => :building | {:ready, ref} | {:failed, error}; queue: names to be built; task:
  # {the task, name, started} of the one that is; waiting: name => callers; failures: name => how
  # many in a row.
  defstruct [
    :instance,
    :declared,
    :table,
    :task,
    queue: [],
    statuses: %{},
    waiting: %{},
    failures: %{}
  ]

  @type status :: :building | {:ready, Ref.t()} | {:failed, Error.t()}

  @doc "Takes the instance's name and its declared engines."
  @spec start_link({atom(), keyword()}) :: GenServer.on_start()
  def start_link({instance, declared}) do
    name = Instance.process_name(instance, @part)
    GenServer.start_link(__MODULE__, {instance, declared}, name: name)
  end

  @doc "The engine of a name. Waits while it is being built."
  @spec fetch(Connection.instance(), atom(), timeout()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def fetch({instance, node} = location, name, timeout) do
    case node == node() && look(instance, name) do
      {:ready, ref} -> {:ok, ref}
      _otherwise -> ask(location, name, timeout)
    end
  end

  @doc "What is known of each declared engine, in their order."
  @spec statuses(Connection.instance()) :: {:ok, [{atom(), status()}]} | {:error, Error.t()}
  def statuses(location), do: call(location, :statuses, 5_000)

  @doc "Tells that an engine is dead; for `Vllm.Connection`."
  @spec died(Connection.instance(), Ref.t(), String.t()) :: :ok
  def died({instance, _node}, ref, reason) do
    GenServer.cast(Instance.process_name(instance, @part), {:died, ref, reason})
  end

  @doc "Emits an event of an engine, with its name if it has one; for `Vllm.Watchdog`."
  @spec tell(Connection.instance(), atom(), Ref.t(), map()) :: :ok
  def tell({instance, _node}, what, ref, measurements) do
    GenServer.cast(Instance.process_name(instance, @part), {:tell, what, ref, measurements})
  end

  defp look(instance, name) do
    case :ets.lookup(Instance.process_name(instance, @part), name) do
      [{^name, status}] -> status
      [] -> nil
    end
  rescue
    # No table: the instance is restarting, or is not there.
    ArgumentError -> nil
  end

  defp ask(location, name, timeout) do
    with {:ok, answer} <- call(location, {:await, name}, timeout), do: answer
  end

  defp call(location, message, timeout) do
    case Instance.server(location, @part) do
      {:ok, server} -> {:ok, GenServer.call(server, message, timeout)}
      :error -> {:error, Instance.down(location, :noconnection)}
    end
  catch
    :exit, {:timeout, _call} -> {:error, late(message, timeout)}
    :exit, _reason -> {:error, Instance.down(location, :noproc)}
  end

  defp late({:await, name}, timeout) do
    Error.new(:timeout, "the engine #{inspect(name)} was not ready within #{timeout} ms")
  end

  defp late(:statuses, timeout) do
    Error.new(:timeout, "the declared engines did not answer within #{timeout} ms")
  end

  ## Callbacks

  @impl true
  def init({instance, declared}) do
    Process.flag(:trap_exit, true)
    table = Instance.process_name(instance, @part)
    :ets.new(table, [:named_table, :protected, read_concurrency: true])
    state = %__MODULE__{instance: instance, declared: declared, table: table}
    names = Keyword.keys(declared)
    state = Enum.reduce(names, state, &put_status(&2, &1, :building))
    {:ok, %{state | queue: names}, {:continue, :build}}
  end

  @impl true
  def handle_continue(:build, state), do: {:noreply, build_next(state)}

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

  @impl true
  def handle_cast({:died, %Ref{id: id} = ref, reason}, state) do
    case Enum.find(state.statuses, &match?({_, {:ready, %Ref{id: ^id}}}, &1)) do
      {name, {:ready, dead}} ->
        event(:down, state, name, %{ref: dead, reason: reason})
        clear_away(state, dead)
        {:noreply, state |> put_status(name, :building) |> enqueue(name)}

      nil ->
        event(:down, state, nil, %{ref: ref, reason: reason})
        {:noreply, state}
    end
  end

  def handle_cast({:tell, what, %Ref{id: id} = ref, measurements}, state) do
    {name, _status} =
      Enum.find(state.statuses, {nil, nil}, &match?({_, {:ready, %Ref{id: ^id}}}, &1))

    event(what, state, name, %{ref: ref}, measurements)
    {:noreply, state}
  end

  @impl true
  def handle_info({ref, result}, %{task: {%{ref: ref}, name, started}} = state) do
    Process.demonitor(ref, [:flush])
    state = built(%{state | task: nil}, name, result, System.monotonic_time() - started)
    {:noreply, build_next(state)}
  end

  def handle_info({:DOWN, ref, _, _, reason}, %{task: {%{ref: ref}, name, started}} = state) do
    error = Error.new(:python, "building the engine ended with #{inspect(reason)}")
    duration = System.monotonic_time() - started
    {:noreply, %{state | task: nil} |> built(name, {:error, error}, duration) |> build_next()}
  end

  def handle_info({:retry, name}, state) do
    {:noreply, state |> put_status(name, :building) |> enqueue(name)}
  end

  # The result of clearing a dead engine away.
  def handle_info(_other, state), do: {:noreply, state}

  # Nobody waits for an engine of an instance that stops, and its building would keep the instance
  # for all of the grace period.
  @impl true
  def terminate(_reason, %{task: nil}), do: :ok
  def terminate(_reason, %{task: {task, _name, _started}}), do: Task.shutdown(task, :brutal_kill)

  ## Building

  defp enqueue(state, name), do: build_next(%{state | queue: state.queue ++ [name]})

  defp build_next(%{task: nil, queue: [name | queue]} = state) do
    arguments = Keyword.fetch!(state.declared, name)
    task = run(state, fn -> AsyncLLM.from_engine_args(state.instance, arguments) end)
    %{state | queue: queue, task: {task, name, System.monotonic_time()}}
  end

  defp build_next(state), do: state

  defp built(state, name, {:ok, ref}, duration) do
    event(:up, state, name, %{ref: ref}, %{duration: duration})
    state = put_status(state, name, {:ready, ref})
    answer_waiting(%{state | failures: Map.delete(state.failures, name)}, name)
  end

  defp built(state, name, {:error, error}, duration) do
    event(:failed, state, name, %{error: error}, %{duration: duration})
    failures = Map.get(state.failures, name, 0) + 1
    pause = min(@first_pause * Integer.pow(2, min(failures - 1, 16)), @longest_pause)
    again? = error.kind not in @permanent
    if again?, do: Process.send_after(self(), {:retry, name}, pause)

    Logger.error(
      "the engine #{inspect(name)} did not start: #{error.message}" <>
        if(again?, do: "; next try in #{pause} ms", else: ""),
      vllm_instance: state.instance
    )

    %{state | failures: Map.put(state.failures, name, failures)}
    |> put_status(name, {:failed, error})
    |> answer_waiting(name)
  end

  defp answer_waiting(state, name) do
    {callers, waiting} = Map.pop(state.waiting, name, [])
    for from <- callers, do: GenServer.reply(from, answer(state.statuses[name]))
    %{state | waiting: waiting}
  end

  # A dead engine still has memory in the worker, and its reference says why it died until then.
  defp clear_away(state, dead), do: run(state, fn -> AsyncLLM.shutdown(dead) end)

  defp run(state, fun) do
    state.instance |> Instance.process_name("Tasks") |> Task.Supervisor.async_nolink(fun)
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
    Telemetry.event([:vllm, :engine, what], measurements, metadata)
  end
end
