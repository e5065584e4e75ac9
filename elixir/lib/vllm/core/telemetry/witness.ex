defmodule Vllm.Core.Telemetry.Witness do
  @moduledoc false
  # Emits the end of a call or of an enumeration whose process was killed.
  #
  # Events are emitted by the process that makes a call or enumerates a stream, which may be killed at
  # any moment. So it hands the function that emits the end to this process. A shared atomic number
  # decides which of the two runs it: the first that changes it. A process that is killed while its
  # handlers run has changed it already, so no end is emitted twice. A call or a stream costs two
  # messages to this process, an item none, and without `:telemetry` nothing is sent.
  #
  # It runs on the node of the process that it watches, because the handlers are there and the instance
  # may be on another node. It is a child of the application's supervisor; where the application does
  # not run, the end of a killed process is not emitted. If this process is killed, the same holds for
  # all that it watched.

  use GenServer
  use Vllm.Core.RedactedServer

  alias Vllm.Core.RedactedServer
  alias Vllm.Core.Telemetry.Emitter

  # watched: monitor => {ending, the function that emits the end}; monitors: ending => monitor
  defstruct watched: %{}, monitors: %{}

  @opaque ending :: :atomics.atomics_ref()

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_options), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc """
  Watches the calling process. If it ends before it calls `once/2`, `emit` runs in this process, with
  the metadata that `Emitter.failure/3` makes from the exit reason.
  """
  @spec watch((map() -> term())) :: ending()
  def watch(emit) do
    ending = :atomics.new(1, signed: false)
    GenServer.cast(__MODULE__, {:watch, ending, self(), emit})
    ending
  end

  @doc "Runs `emit` unless the end has been emitted."
  @spec once(ending(), (() -> term())) :: :ok
  def once(ending, emit) do
    if first?(ending) do
      emit.()
      GenServer.cast(__MODULE__, {:forget, ending})
    end

    :ok
  end

  defp first?(ending), do: :atomics.exchange(ending, 1, 1) == 0

  @impl true
  def init(nil), do: {:ok, %__MODULE__{}}

  @impl true
  def handle_cast({:watch, ending, process, emit}, state)
      when is_pid(process) and is_function(emit, 1) do
    monitor = Process.monitor(process)

    {:noreply,
     %{
       state
       | watched: Map.put(state.watched, monitor, {ending, emit}),
         monitors: Map.put(state.monitors, ending, monitor)
     }}
  end

  def handle_cast({:forget, ending}, state) do
    {monitor, monitors} = Map.pop(state.monitors, ending)
    if monitor, do: Process.demonitor(monitor, [:flush])
    {:noreply, %{state | watched: Map.delete(state.watched, monitor), monitors: monitors}}
  end

  def handle_cast(other, state), do: RedactedServer.stray(__MODULE__, "cast", other, state)

  @impl true
  def handle_call(other, _from, state), do: RedactedServer.stray_call(__MODULE__, other, state)

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, reason}, state)
      when is_map_key(state.watched, monitor) do
    {{ending, emit}, watched} = Map.pop!(state.watched, monitor)
    if first?(ending), do: emit.(death(reason))
    {:noreply, %{state | watched: watched, monitors: Map.delete(state.monitors, ending)}}
  end

  def handle_info(other, state), do: RedactedServer.stray(__MODULE__, "message", other, state)

  # The exit reason of a process that raised holds the stack trace.
  defp death({reason, [{_module, _function, _arity, _location} | _] = stacktrace}),
    do: Emitter.failure(:exit, reason, stacktrace)

  defp death(reason), do: Emitter.failure(:exit, reason, [])

  @impl RedactedServer.format_status?()
  # Keeps ids of requests, which are in the metadata, out of crash reports and :sys.get_status/1.
  def format_status(status) do
    status
    |> Map.replace(:message, :hidden)
    |> Map.replace(:log, [])
    |> Map.replace_lazy(:state, &%{watched: map_size(&1.watched)})
  end
end
