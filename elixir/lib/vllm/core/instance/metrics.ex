defmodule Vllm.Core.Instance.Metrics do
  @moduledoc false
  # Reads vLLM's metrics of each engine, for `Vllm.metrics/1`, and emits them as events with
  # `metrics_interval:`.
  #
  # The process of this module only keeps time. A task asks the worker, so that neither a slow worker
  # nor a telemetry handler that raises ends this process, and with it the instance. The next interval
  # begins when the task has ended.

  use GenServer
  use Vllm.Core.RedactedServer

  require Logger

  alias Vllm.{Call, Error, Ref, Telemetry}
  alias Vllm.Core.{Connection, RedactedServer}
  alias Vllm.Core.Instance.{Declared, Locator}
  alias Vllm.Core.Telemetry.{Emitter, Models}

  # The worker's names and ours. Metrics that a newer worker adds are left out.
  @names Map.new(Telemetry.numbers(), fn {name, _text} -> {Atom.to_string(name), name} end)

  # Milliseconds. A worker that takes longer is busy; the next interval asks again.
  @timeout 5_000

  @type engine :: %{
          engine: atom() | nil,
          ref: Ref.t(),
          model: String.t() | nil,
          token_path: :direct | :outputs | nil,
          token_path_reason: String.t() | nil,
          metrics: %{atom() => number()} | nil
        }

  @doc "The metrics of each engine of a worker, as of now."
  @spec read(Locator.instance(), timeout()) :: {:ok, [engine()]} | {:error, Error.t()}
  def read(instance, timeout \\ @timeout) do
    arguments = [instance, [rpc: [timeout: timeout]]]

    with {:ok, engines} <- Call.invoke_class("Worker", "metrics", 0, arguments) do
      names = Declared.names(instance)
      {:ok, Enum.map(engines, &engine(&1, instance, names))}
    end
  end

  defp engine(of_worker, instance, names) do
    id = of_worker["ref"]
    # A worker of another version, that was started elsewhere, tells no type.
    type = of_worker["type"] || "AsyncLLM"
    ref = %Ref{instance: instance, incarnation: of_worker["incarnation"], id: id, type: type}
    Models.put(ref, of_worker["model"])

    %{
      engine: names[id],
      ref: ref,
      model: of_worker["model"],
      token_path: token_path(of_worker["token_path"]),
      token_path_reason: of_worker["token_path_reason"],
      metrics: numbers(of_worker["metrics"], of_worker["unfinished_requests"])
    }
  end

  defp token_path("direct"), do: :direct
  defp token_path("outputs"), do: :outputs
  # A worker of another version, that was started elsewhere.
  defp token_path(_other), do: nil

  defp numbers(nil, _unfinished), do: nil

  defp numbers(metrics, unfinished) do
    counted = Map.put(metrics, "requests_unfinished", unfinished || 0)
    for {text, name} <- @names, is_number(counted[text]), into: %{}, do: {name, counted[text]}
  end

  ## The process

  @doc "Takes the instance's name and the interval in milliseconds."
  @spec start_link({atom(), pos_integer()}) :: GenServer.on_start()
  def start_link({instance, interval}) do
    name = Locator.process_name(instance, "Metrics")
    GenServer.start_link(__MODULE__, {instance, interval}, name: name)
  end

  @impl true
  def init({instance, interval}) do
    Process.send_after(self(), :tick, interval)
    {:ok, %{instance: instance, interval: interval, task: nil}}
  end

  @impl true
  def handle_info(:tick, state) do
    # Without telemetry no event could be emitted.
    if Emitter.loaded?(), do: {:noreply, start_task(state)}, else: {:noreply, wait(state)}
  end

  def handle_info({:DOWN, monitor, :process, _pid, _reason}, %{task: monitor} = state),
    do: {:noreply, wait(%{state | task: nil})}

  def handle_info(other, state),
    do: RedactedServer.stray(__MODULE__, "message", other, state)

  @impl true
  def handle_call(other, _from, state),
    do: RedactedServer.stray_call(__MODULE__, other, state)

  @impl true
  def handle_cast(other, state),
    do: RedactedServer.stray(__MODULE__, "cast", other, state)

  @impl RedactedServer.format_status?()
  def format_status(status), do: RedactedServer.hide(status, & &1)

  defp start_task(%{instance: name} = state) do
    tasks = Locator.process_name(name, "Tasks")
    {:ok, pid} = Task.Supervisor.start_child(tasks, __MODULE__, :emit, [{name, node()}])
    %{state | task: Process.monitor(pid)}
  end

  defp wait(state) do
    Process.send_after(self(), :tick, state.interval)
    state
  end

  @doc false
  @spec emit(Locator.instance()) :: :ok | {:error, Error.t()}
  def emit(instance), do: RedactedServer.guarded(__MODULE__, fn -> emit_all(instance) end)

  defp emit_all({name, _node} = instance) do
    with {:ok, load} <- load(instance),
         do: Emitter.event([:vllm, :instance, :metrics], load, %{instance: name})

    case read(instance) do
      {:ok, engines} -> Enum.each(engines, &emit_engine(&1, name))
      {:error, error} -> Logger.debug("no metrics: #{error.message}", vllm_instance: name)
    end
  end

  defp load({name, _node} = instance) do
    connection = Process.whereis(Locator.process_name(name, "Connection"))

    # Measured before the call below, which is answered after all messages in the mailbox.
    with pid when pid != nil <- connection,
         {:message_queue_len, messages} <- Process.info(pid, :message_queue_len),
         {:ok, %{calls: calls}} <- Connection.info(instance) do
      {:ok, %{calls: calls, messages: messages}}
    end
  end

  defp emit_engine(%{metrics: nil}, _name), do: :ok

  defp emit_engine(engine, name) do
    {metrics, metadata} = Map.pop(engine, :metrics)
    Emitter.event([:vllm, :engine, :metrics], metrics, Map.put(metadata, :instance, name))
  end
end
