defmodule Vllm.Core.Worker do
  @moduledoc false
  # Starts and owns one Python worker, an operating system process. The only module with a port.
  #
  # No process may be left behind, whichever ends first:
  #
  #   * The BEAM ends, even by kill -9: the worker's stdin is closed, and it kills its process group.
  #   * The worker ends: vLLM's processes (EngineCore and Worker), which may still run, share its
  #     process group and are killed with it.
  #   * This process is stopped: SIGTERM, the grace period, then SIGKILL to the group.
  #
  # The worker prints one line for this module, the READY line, and then redirects its stdout to
  # stderr. Everything else it prints is its log (Vllm.Core.Worker.Log).

  use GenServer
  use Vllm.Core.RedactedServer

  require Logger

  alias Vllm.{Environment, Error}
  alias Vllm.Core.Instance.{LastFailure, Locator}
  alias Vllm.Core.RedactedServer
  alias Vllm.Core.Telemetry.Emitter
  alias Vllm.Core.Worker.{Folder, Launch, Log, LogWriter, Output, Stop}

  # Milliseconds to wait for the exit after SIGKILL. Limited, in case the kernel cannot end a process.
  @kill_timeout 5_000

  # Milliseconds for shutting engines down after the grace period for calls, as in the worker: vLLM
  # takes 3 to 4 s for an engine, and longer on a busy machine.
  @shutdown_timeout 10_000

  # Milliseconds for the exit status to arrive after the process has ended, and between two looks
  # whether it has.
  @status_timeout 3_000
  @look_interval 20

  defstruct [
    :name,
    :port,
    # the process id, which is also the id of its process group once it is ready
    :os_pid,
    # where sessions are opened, and where gRPC is served
    :address,
    :grpc_address,
    :token,
    # Vllm.Core.Worker.Folder: for the socket and the files of vLLM's processes; removed at the end
    :folder,
    # Vllm.Core.Worker.Log
    :log,
    :grace,
    running?: true,
    # callers of reason/2 that wait
    asked: [],
    # when its process was started
    started: nil,
    # its exit status
    status: nil
  ]

  @doc "Starts a worker and waits until it serves. Takes the validated options of `Vllm`."
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

  @doc "The address the worker listens on, and its token."
  @spec address(GenServer.server()) :: {:ok, String.t(), String.t()}
  def address(worker), do: GenServer.call(worker, :address)

  @doc "The process id, the last lines of the log, and how many lines have been logged in all."
  @spec info(GenServer.server()) :: %{
          os_pid: pos_integer(),
          log: [String.t()],
          seen: non_neg_integer()
        }
  def info(worker), do: GenServer.call(worker, :info)

  @doc """
  Why the worker of an instance has ended: its exit status and its last lines. A session ends a moment
  before the worker's process does, so that is given `patience` milliseconds.
  """
  @spec reason({atom(), node()}, pos_integer()) :: Error.t() | :running | :elsewhere
  def reason({name, _node}, patience) do
    timeout = patience + 2 * @status_timeout
    GenServer.call(Locator.process_name(name, "Worker"), {:end, patience}, timeout)
  catch
    # It has stopped with the reason meanwhile.
    :exit, {{:shutdown, %Error{} = error}, _call} -> error
    :exit, _no_process -> LastFailure.find({name, node()}) || :elsewhere
  end

  @doc "Makes the next stop of a worker that hangs kill it at once, without a grace period."
  @spec give_up({atom(), node()}) :: :ok
  def give_up({name, _node}) do
    GenServer.call(Locator.process_name(name, "Worker"), :give_up)
  catch
    # It was started elsewhere, or is being stopped already.
    :exit, _no_process -> :ok
  end

  @doc """
  Gives a worker up that neither answers nor closes its connection, which is what `said` tells of it.
  Returns the error to end the session with.
  """
  @spec give_up({atom(), node()}, String.t()) :: Error.t()
  def give_up(instance, said) do
    give_up(instance)
    message = "the worker #{said}: it is stopped, hangs, or the network has lost it"
    Error.new(:worker_down, message)
  end

  ## Start

  @impl true
  def init(options) do
    Process.flag(:trap_exit, true)
    # A port has no flow control: its messages are taken before anything else runs.
    Process.flag(:priority, :high)
    Logger.metadata(vllm_instance: options.name)

    with {:ok, python} <- Environment.python(options.python),
         {:ok, sources} <- Environment.worker_dir(),
         {:ok, folder, listen} <- Launch.listen(options) do
      report_folder(folder)

      state = %__MODULE__{
        name: options.name,
        token: Launch.token(),
        folder: folder,
        log: %Log{
          level: options.log,
          writer: if(options.log, do: LogWriter.start(options.name))
        },
        grace: options.grace
      }

      state |> open_port(python, sources, listen, options) |> await_ready(options.start_timeout)
    else
      {:error, error} -> {:stop, {:shutdown, error}}
    end
  end

  defp report_folder(%Folder{warning: nil, passed_over: []}), do: :ok

  defp report_folder(%Folder{warning: nil} = folder) do
    Logger.info(
      "the worker's files are in #{folder.files}: #{Enum.join(folder.passed_over, "; ")}"
    )
  end

  defp report_folder(folder) do
    Logger.warning(
      "other users could replace the worker's folder #{folder.files}, and its socket: " <>
        "#{folder.warning}; set the option :socket_dir to a folder that only this user may write to"
    )
  end

  defp open_port(state, python, sources, listen, options) do
    port =
      Port.open({:spawn_executable, python}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        :hide,
        args: Launch.arguments(listen, options),
        env: Launch.environment(sources, state.token, state.folder, options.env)
      ])

    state = %{state | port: port, os_pid: os_pid(port), started: System.monotonic_time()}
    event(:start, state, %{system_time: System.system_time()})
    state
  rescue
    # The file has the permission to be executed but is no program for this machine.
    exception in ErlangError ->
      {:failed, state,
       "#{python} cannot be started: #{Exception.message(exception)}; name another interpreter " <>
         "with the option :python"}

    # Without the exception, whose arguments hold the token.
    _exception in [ArgumentError, UnicodeConversionError] ->
      {:failed, state,
       "#{python} cannot be started with these arguments and variables; check the options " <>
         ":worker_args and :env"}
  end

  # A worker that ends at once may have ended before this call. Its last lines and its exit status are
  # in the mailbox then.
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
        case Output.take_until_ready(port, data, state.log) do
          {{:ok, known}, log} ->
            ready(struct!(%{state | log: log}, known))

          {{:error, message}, log} ->
            fail_start(%{state | log: log}, message)

          {:no, log} ->
            read_on(%{state | log: log}, deadline)
        end

      {LogWriter, message} ->
        read_on(written(state, message), deadline)

      {:EXIT, pid, _reason} when pid == state.log.writer.pid ->
        read_on(write_on(state), deadline)

      {^port, {:exit_status, status}} ->
        fail_start(
          %{state | running?: false, status: status},
          "the worker ended with #{status(status)} before it was ready; run `mix vllm.doctor` to " <>
            "find the reason"
        )

      {:EXIT, pid, reason} when is_pid(pid) ->
        cleanup(state)
        {:stop, reason}
    after
      remaining(deadline) -> late(state)
    end
  end

  # The deadline also holds for a worker that prints without pause: `after` alone would never come.
  defp read_on(state, deadline) do
    if remaining(deadline) == 0, do: late(state), else: receive_ready(state, deadline)
  end

  defp late(state) do
    fail_start(
      state,
      "the worker was not ready in time; a slow machine needs a longer :start_timeout"
    )
  end

  defp ready(state) do
    addresses = Map.take(state, [:address, :grpc_address])
    event(:ready, state, lasted(state), addresses)
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

  # Answered when it is known how the worker has ended.
  def handle_call({:end, patience}, from, state) when is_integer(patience) do
    send(self(), {:look, now() + patience})
    {:noreply, %{state | asked: [from | state.asked]}}
  end

  def handle_call(:give_up, _from, state), do: {:reply, :ok, %{state | running?: false}}
  def handle_call(other, _from, state), do: RedactedServer.stray_call(__MODULE__, other, state)

  @impl true
  def handle_cast(other, state), do: RedactedServer.stray(__MODULE__, "cast", other, state)

  @impl true
  def handle_info({port, {:data, data}}, %{port: port} = state) do
    {:noreply, log(state, data)}
  end

  def handle_info({LogWriter, message}, state) when message in [:written, :report],
    do: {:noreply, written(state, message)}

  def handle_info({port, {:exit_status, status}}, %{port: port} = state) do
    state = %{state | running?: false, status: status}
    {:stop, {:shutdown, exited(state, status)}, state}
  end

  def handle_info({:look, deadline}, state) when is_integer(deadline),
    do: {:noreply, look(state, deadline)}

  def handle_info(:status_overdue, state), do: {:noreply, answer(state, unknown_end(state))}

  def handle_info({:EXIT, pid, _reason}, %{log: %{writer: %{pid: pid}}} = state),
    do: {:noreply, write_on(state)}

  # The port, after its exit status; processes that helped to stop the worker.
  def handle_info({:EXIT, _port, _reason}, state), do: {:noreply, state}

  def handle_info(other, state), do: RedactedServer.stray(__MODULE__, "message", other, state)

  @impl true
  def terminate(_reason, state), do: cleanup(state)

  @impl RedactedServer.format_status?()
  # Keeps the token out of crash reports and :sys.get_status/1.
  def format_status(status) do
    RedactedServer.hide(status, &Map.take(&1, [:name, :os_pid, :address]))
  end

  defp exited(state, status) do
    message = "the worker ended with #{status(status)}" <> Log.last_lines(state.log)
    Logger.error(message)
    error = Error.new(:worker_down, message, details: Log.details(state.log))
    LastFailure.put(state.name, error)
    answer(state, error)
    error
  end

  defp answer(state, reason) do
    for from <- state.asked, do: GenServer.reply(from, reason)
    %{state | asked: []}
  end

  # The session is lost. The exit status is reported when the last process that holds the worker's
  # output has ended. Those that the worker has started may go on, above all while an engine is being
  # built, so they are ended first.
  defp look(%{asked: []} = state, _deadline), do: state

  defp look(state, deadline) do
    cond do
      Stop.ended?(state.os_pid) ->
        os_pid = state.os_pid
        spawn_link(fn -> Stop.run(os_pid, 0) end)
        Process.send_after(self(), :status_overdue, @status_timeout)
        state

      now() < deadline ->
        Process.send_after(self(), {:look, deadline}, @look_interval)
        state

      true ->
        answer(state, :running)
    end
  end

  defp unknown_end(state) do
    message =
      "the worker's process #{state.os_pid} has ended; its exit status is not known, because a " <>
        "process that it started still holds its output"

    Error.new(:worker_down, message <> Log.last_lines(state.log), details: Log.details(state.log))
  end

  ## Output

  defp log(%{port: port} = state, data) do
    %{state | log: Output.take(port, data, state.log)}
  end

  defp written(%{log: %{writer: writer} = log} = state, message) when writer != nil,
    do: %{state | log: %{log | writer: LogWriter.handle(writer, message)}}

  defp written(state, _message), do: state

  # Without it nothing would be logged any more.
  defp write_on(%{log: %{writer: writer} = log} = state),
    do: %{state | log: %{log | writer: LogWriter.restart(writer)}}

  defp status(137),
    do: "exit status 137 (signal 9), killed from outside or by the kernel for want of memory"

  defp status(status) when status > 128, do: "exit status #{status} (signal #{status - 128})"
  defp status(status), do: "exit status #{status}"

  ## End

  defp cleanup(state) do
    {status, state} = if state.os_pid, do: stop_process(state), else: {nil, state}
    if state.started, do: event(:exit, state, lasted(state), %{status: state.status || status})
    if state.folder, do: state.folder |> Folder.paths() |> Enum.each(&Stop.remove_files/1)
    if state.log.writer, do: LogWriter.flush(state.log.writer)
    :ok
  end

  defp stop_process(state) do
    timeout = if state.running?, do: state.grace + @shutdown_timeout, else: 0

    stopping = Task.async(fn -> Stop.run(state.os_pid, timeout) end)

    case await_stop(state, stopping.ref) do
      {:ok, state} ->
        if state.running?, do: await_exit(state), else: {nil, state}

      {:late, state} ->
        why =
          if state.running?,
            do: "it did not stop within #{timeout} ms",
            else: "it or an engine hung"

        Logger.warning("killed the worker: #{why}")
        {nil, state}
    end
  end

  # What the worker prints meanwhile is taken, or it would fill the memory.
  defp await_stop(%{port: port} = state, ref) do
    receive do
      {^ref, result} ->
        Process.demonitor(ref, [:flush])
        {result, state}

      {:DOWN, ^ref, :process, _pid, _reason} ->
        {:late, state}

      {^port, {:data, data}} ->
        state |> log(data) |> await_stop(ref)

      {LogWriter, message} ->
        state |> written(message) |> await_stop(ref)
    end
  end

  defp await_exit(%{port: port} = state) do
    receive do
      {^port, {:data, data}} ->
        state |> log(data) |> await_exit()

      # After SIGTERM the worker exits with 0 or 143. With any other status it had ended by itself, and
      # the connection noticed first: only here can the reason still be reported.
      {^port, {:exit_status, status}} ->
        unless status in [0, 143], do: exited(state, status)
        {status, state}
    after
      @kill_timeout -> {nil, state}
    end
  end

  ## Events

  defp event(what, state, measurements, more \\ %{}) do
    metadata = Map.merge(%{instance: state.name, os_pid: state.os_pid}, more)
    Emitter.event([:vllm, :worker, what], measurements, metadata)
  end

  defp lasted(state), do: %{duration: System.monotonic_time() - state.started}
end
