defmodule Vllm.Core.Worker do
  @moduledoc false
  # The owner of one Python worker, as an operating system process. The only module with a port.
  #
  # Three things have to hold, whatever dies first:
  #
  #   * The BEAM goes, even by kill -9: the worker's stdin ends, and it kills its process group.
  #   * The worker goes: what it leaves behind (vLLM's EngineCore and Worker are processes of their
  #     own) is swept by a SIGKILL to its process group, which they all share.
  #   * This process is stopped: SIGTERM, the grace period, then the sweep.
  #
  # The worker's stdout carries one line for us, the READY line, then moves to stderr; everything
  # else that arrives is its log (Vllm.Core.Worker.Log).

  use GenServer

  require Logger

  alias Vllm.{Environment, Error}
  alias Vllm.Core.Instance.{LastFailure, Locator}
  alias Vllm.Core.Telemetry.Emitter
  alias Vllm.Core.Worker.{Launch, Log, Stop}

  # After SIGKILL the kernel only has to clean up. Not waiting for ever, in case it cannot.
  @kill_timeout 5_000

  # Beyond the grace period for calls, as the worker itself allows: vLLM takes 3 to 4 s to shut an
  # engine down, and longer on a busy machine.
  @shutdown_timeout 10_000

  defstruct [
    :name,
    :port,
    # the process, which is also the id of its group once it is ready
    :os_pid,
    :address,
    :token,
    # the folder made for the socket and the files of vLLM's processes, to be removed
    :folder,
    # Vllm.Core.Worker.Log
    :log,
    :grace,
    running?: true,
    # who wants to know why it ended
    asked: [],
    # when its process was started, and what it ended with
    started: nil,
    status: nil
  ]

  @doc "Starts a worker and waits until it serves. `options` are those of `Vllm`, validated."
  @spec start_link(map()) :: GenServer.on_start()
  def start_link(%{name: name} = options) do
    GenServer.start_link(__MODULE__, options,
      name: Locator.process_name(name, "Worker"),
      timeout: :infinity
    )
  end

  @doc false
  def child_spec(options) do
    %{
      id: __MODULE__,
      start: {__MODULE__, :start_link, [options]},
      shutdown: options.grace + @shutdown_timeout + @kill_timeout
    }
  end

  @doc "Where the worker listens, and the token it wants."
  @spec address(GenServer.server()) :: {:ok, String.t(), String.t()}
  def address(worker), do: GenServer.call(worker, :address)

  @doc "The process id, the last lines of the log, and how many lines there were in all."
  @spec info(GenServer.server()) :: %{
          os_pid: pos_integer(),
          log: [String.t()],
          seen: non_neg_integer()
        }
  def info(worker), do: GenServer.call(worker, :info)

  @doc """
  Why the worker of an instance has ended, if that is known within `timeout` milliseconds: who had a
  session with it notices its end first.
  """
  @spec reason({atom(), node()}, timeout()) :: Error.t() | nil
  def reason({name, _node}, timeout) do
    GenServer.call(Locator.process_name(name, "Worker"), :end, timeout)
  catch
    :exit, _reason -> nil
  end

  @doc "It is beyond help: when it is stopped next, it is killed at once."
  @spec give_up({atom(), node()}) :: :ok
  def give_up({name, _node}), do: GenServer.call(Locator.process_name(name, "Worker"), :give_up)

  ## Start

  @impl true
  def init(options) do
    Process.flag(:trap_exit, true)
    Logger.metadata(vllm_instance: options.name)

    with {:ok, python} <- Environment.python(options.python),
         {:ok, sources} <- Environment.worker_dir(),
         {:ok, folder, listen} <- Launch.listen(options) do
      state = %__MODULE__{
        name: options.name,
        token: Launch.token(),
        folder: folder,
        log: %Log{level: options.log},
        grace: options.grace
      }

      state |> open_port(python, sources, listen, options) |> await_ready(options.start_timeout)
    else
      {:error, error} -> {:stop, {:shutdown, error}}
    end
  end

  defp open_port(state, python, sources, listen, options) do
    port =
      Port.open({:spawn_executable, python}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        :hide,
        line: Log.line_bytes(),
        args: Launch.arguments(listen, options),
        env: Launch.environment(sources, state.token, state.folder, options.env)
      ])

    state = %{state | port: port, os_pid: os_pid(port), started: System.monotonic_time()}
    event(:start, state, %{system_time: System.system_time()})
    state
  rescue
    # The interpreter is a file that can be executed, and cannot be: a wrong architecture, say.
    exception in ErlangError ->
      {:failed, state, "#{python} cannot be started: #{Exception.message(exception)}"}
  end

  # A worker that ends at once can be gone before it is asked after. Its last lines and its exit
  # status are in the mailbox then, and tell why.
  defp os_pid(port) do
    with {:os_pid, os_pid} <- Port.info(port, :os_pid), do: os_pid
  end

  defp await_ready({:failed, state, message}, _timeout) do
    fail_start(%{state | running?: false}, message)
  end

  defp await_ready(state, :infinity), do: receive_ready(state, :infinity)
  defp await_ready(state, timeout), do: receive_ready(state, now() + timeout)

  defp receive_ready(%{port: port} = state, deadline) do
    receive do
      {^port, {:data, data}} ->
        {line, log} = Log.take(state.log, data)

        case Launch.ready(line) do
          {:ok, address, os_pid} -> ready(%{state | log: log, address: address, os_pid: os_pid})
          {:error, message} -> fail_start(%{state | log: log}, message)
          :no -> read_on(%{state | log: Log.add(log, line)}, deadline)
        end

      {^port, {:exit_status, status}} ->
        fail_start(
          %{state | running?: false, status: status},
          "the worker ended with #{status(status)} before it served; `mix vllm.doctor` looks for " <>
            "the reason"
        )

      {:EXIT, pid, reason} when is_pid(pid) ->
        cleanup(state)
        {:stop, reason}
    after
      remaining(deadline) -> late(state)
    end
  end

  # Also of one that never stops printing.
  defp read_on(state, deadline) do
    if remaining(deadline) == 0, do: late(state), else: receive_ready(state, deadline)
  end

  defp late(state),
    do: fail_start(state, "the worker was not ready in time (option :start_timeout)")

  defp ready(state) do
    event(:ready, state, lasted(state), %{address: state.address})
    LastFailure.clear(state.name)
    {:ok, state}
  end

  defp remaining(:infinity), do: :infinity
  defp remaining(deadline), do: max(deadline - now(), 0)

  defp now, do: System.monotonic_time(:millisecond)

  defp fail_start(state, message) do
    cleanup(state)

    error =
      Error.new(:worker_down, message <> Log.last_lines(state.log),
        details: Log.details(state.log)
      )

    LastFailure.put(state.name, error)
    {:stop, {:shutdown, error}}
  end

  ## Messages

  @impl true
  def handle_call(:address, _from, state), do: {:reply, {:ok, state.address, state.token}, state}

  def handle_call(:info, _from, state) do
    info = %{os_pid: state.os_pid, log: Log.lines(state.log), seen: state.log.seen}
    {:reply, info, state}
  end

  # Answered when the worker has ended.
  def handle_call(:end, from, state), do: {:noreply, %{state | asked: [from | state.asked]}}

  def handle_call(:give_up, _from, state), do: {:reply, :ok, %{state | running?: false}}

  @impl true
  def handle_info({port, {:data, data}}, %{port: port} = state) do
    {:noreply, log(state, data)}
  end

  def handle_info({port, {:exit_status, status}}, %{port: port} = state) do
    state = %{state | running?: false, status: status}
    {:stop, {:shutdown, exited(state, status)}, state}
  end

  # The port, after its exit status.
  def handle_info({:EXIT, _port, _reason}, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state), do: cleanup(state)

  @doc false
  # What a crash or :sys.get_status/1 may show: not the token.
  def format_status(status) do
    Map.replace_lazy(status, :state, &Map.take(&1, [:name, :os_pid, :address]))
  end

  defp exited(state, status) do
    message = "the worker ended with #{status(status)}" <> Log.last_lines(state.log)
    Logger.error(message)
    error = Error.new(:worker_down, message, details: Log.details(state.log))
    LastFailure.put(state.name, error)
    for from <- state.asked, do: GenServer.reply(from, error)
    error
  end

  defp log(state, data) do
    {line, log} = Log.take(state.log, data)
    %{state | log: Log.add(log, line)}
  end

  defp status(status) when status > 128, do: "exit status #{status} (signal #{status - 128})"
  defp status(status), do: "exit status #{status}"

  ## End

  defp cleanup(state) do
    status = if state.os_pid, do: stop_process(state)
    if state.started, do: event(:exit, state, lasted(state), %{status: state.status || status})
    if state.folder, do: Stop.remove_files(state.folder)
    :ok
  end

  defp stop_process(state) do
    timeout = if state.running?, do: state.grace + @shutdown_timeout, else: 0

    case Stop.run(state.os_pid, timeout) do
      :ok ->
        if state.running?, do: await_exit(state)

      :late ->
        waited = if state.running?, do: "it did not stop in #{timeout} ms"
        Logger.warning("killed the worker: #{waited || "it was given up"}")
        nil
    end
  end

  defp await_exit(%{port: port} = state) do
    receive do
      {^port, {:data, data}} ->
        state |> log(data) |> await_exit()

      # 0 and 143 are what SIGTERM asks for. With any other status the worker ended by itself, and
      # the connection noticed it before us: this is the only place that can still say why.
      {^port, {:exit_status, status}} ->
        unless status in [0, 143], do: exited(state, status)
        status
    after
      @kill_timeout -> nil
    end
  end

  ## Events

  defp event(what, state, measurements, more \\ %{}) do
    metadata = Map.merge(%{instance: state.name, os_pid: state.os_pid}, more)
    Emitter.event([:vllm, :worker, what], measurements, metadata)
  end

  defp lasted(state), do: %{duration: System.monotonic_time() - state.started}
end
