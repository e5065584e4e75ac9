defmodule Vllm.Core.Telemetry.Witness do
  @moduledoc false
  # Tells the end of what a process has begun and did not live to end.
  #
  # Events are emitted by the process that makes a call or enumerates a stream, and that one can be
  # killed at any moment. So it leaves with this process, which outlives it, what is to be told then.
  # Which of the two tells it is settled by a number that they share: whoever changes it first does,
  # and the other does not; a process that is killed while its handlers run has begun to tell, and
  # nothing is told twice. An item of a stream costs nothing here, a call or a stream two messages,
  # and without `:telemetry` there are none.
  #
  # It runs on the node of the process that it watches, under the application's own supervisor: that
  # is where handlers are, the instance may be on another. Where the application does not run, a
  # process that is killed tells no end. If this process is killed, what it watched is not watched any
  # more.

  use GenServer

  alias Vllm.Core.Telemetry.Emitter

  # tells: monitor => {ending, what is to be done}; monitors: ending => monitor.
  defstruct tells: %{}, monitors: %{}

  @opaque ending :: :atomics.atomics_ref()

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_options), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc """
  The calling process begins something. If it ends before `once/2`, `tell` runs here, with what
  `Vllm.Telemetry.failure/3` makes of the reason.
  """
  @spec watch((map() -> term())) :: ending()
  def watch(tell) do
    ending = :atomics.new(1, signed: false)
    GenServer.cast(__MODULE__, {:watch, ending, self(), tell})
    ending
  end

  @doc "Runs `tell` if the end has not been told."
  @spec once(ending(), (() -> term())) :: :ok
  def once(ending, tell) do
    if first?(ending) do
      tell.()
      GenServer.cast(__MODULE__, {:forget, ending})
    end

    :ok
  end

  defp first?(ending), do: :atomics.exchange(ending, 1, 1) == 0

  @impl true
  def init(nil), do: {:ok, %__MODULE__{}}

  @impl true
  def handle_cast({:watch, ending, process, tell}, state) do
    monitor = Process.monitor(process)

    {:noreply,
     %{
       state
       | tells: Map.put(state.tells, monitor, {ending, tell}),
         monitors: Map.put(state.monitors, ending, monitor)
     }}
  end

  def handle_cast({:forget, ending}, state) do
    {monitor, monitors} = Map.pop(state.monitors, ending)
    if monitor, do: Process.demonitor(monitor, [:flush])
    {:noreply, %{state | tells: Map.delete(state.tells, monitor), monitors: monitors}}
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, reason}, state) do
    {{ending, tell}, tells} = Map.pop!(state.tells, monitor)
    if first?(ending), do: tell.(death(reason))
    {:noreply, %{state | tells: tells, monitors: Map.delete(state.monitors, ending)}}
  end

  # Whoever raised has its stack trace with the reason.
  defp death({reason, [{_module, _function, _arity, _location} | _] = stacktrace}),
    do: Emitter.failure(:exit, reason, stacktrace)

  defp death(reason), do: Emitter.failure(:exit, reason, [])

  @doc false
  # What a crash or :sys.get_status/1 may show: metadata holds ids of requests.
  def format_status(status) do
    status
    |> Map.replace(:message, :hidden)
    |> Map.replace(:log, [])
    |> Map.replace_lazy(:state, &%{watched: map_size(&1.tells)})
  end
end
