defmodule Vllm.Worker do
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
  # else that arrives is its log. The last lines are kept, because they are the only thing that
  # explains why a worker or an engine did not start.

  use GenServer

  require Logger

  alias Vllm.{Environment, Error, Instance, Obituary, Socket, Telemetry, Watchdog}

  @ready "VLLM_BRIDGE READY "
  # Of a start that failed vLLM prints some eighty lines, the cause among the first.
  @kept_lines 200
  @shown_lines 50

  # The log may be a little behind the reply that it explains: how often it is looked at again, and
  # after how many milliseconds each time.
  @log_looks 5
  @log_delay 100

  @line_bytes 16 * 1024

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
    :log,
    :grace,
    # the beginning of a line that is longer than a port message
    partial: [],
    lines: :queue.new(),
    # how many lines there were, with those that are no longer kept
    seen: 0,
    running?: true,
    # who wants to know why it ended
    asked: [],
    # when its process was started, and what it ended with
    started: nil,
    status: nil
  ]

  @typedoc "A place in the worker's log."
  @type mark :: non_neg_integer() | nil

  @doc "Starts a worker and waits until it serves. `options` are those of `Vllm`, validated."
  @spec start_link(map()) :: GenServer.on_start()
  def start_link(%{name: name} = options) do
    GenServer.start_link(__MODULE__, options,
      name: Instance.process_name(name, "Worker"),
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
    GenServer.call(Instance.process_name(name, "Worker"), :end, timeout)
  catch
    :exit, _reason -> nil
  end

  @doc "It is beyond help: when it is stopped next, it is killed at once."
  @spec give_up({atom(), node()}) :: :ok
  def give_up({name, _node}), do: GenServer.call(Instance.process_name(name, "Worker"), :give_up)

  @doc "Where the worker's log ends now, for `explain/3`. `nil` if the log is not ours to read."
  @spec mark({atom(), node()}) :: mark()
  def mark(instance) do
    with {:ok, %{seen: seen}} <- instance_info(instance), do: seen
  end

  @doc """
  Adds what the worker's log says since `mark` about an engine that did not start: the exception
  that ended vLLM's process to the message, the last lines to the details.
  """
  @spec explain({atom(), node()}, Error.t(), mark()) :: Error.t()
  def explain(_instance, %Error{} = error, nil), do: error

  def explain(instance, %Error{} = error, mark) do
    lines = lines_since(instance, mark)

    {lines, cause} =
      with {_, nil} <- {lines, root_cause(lines)}, do: look_again(instance, mark, @log_looks)

    details = Map.put(error.details, "log", Enum.take(lines, -@shown_lines))

    if cause,
      do: %{error | message: cause, details: Map.put(details, "reported", error.message)},
      else: %{error | details: details}
  end

  defp look_again(instance, mark, looks) do
    receive do
    after
      @log_delay -> :ok
    end

    lines = lines_since(instance, mark)

    case root_cause(lines) do
      nil when looks > 1 -> look_again(instance, mark, looks - 1)
      cause -> {lines, cause}
    end
  end

  defp lines_since(instance, mark) do
    case instance_info(instance) do
      {:ok, %{log: lines, seen: seen}} -> Enum.take(lines, -max(seen - mark, 0))
      nil -> []
    end
  end

  # A worker of somebody else has its log elsewhere.
  defp instance_info(instance) do
    case Instance.server(instance, "Worker") do
      {:ok, server} -> {:ok, info(server)}
      :error -> nil
    end
  catch
    :exit, _reason -> nil
  end

  # Each process of vLLM's repeats that the one below it has failed. The cause is the last that
  # does not only say so. The expressions stand here and not in attributes, from which they do not
  # compile on OTP 28.
  defp root_cause(lines) do
    exception = ~r/(?:^|\] )((?:\w+\.)*\w*(?:Error|Exception): .+)$/
    repeated = ~r/initialization failed|root cause|stack trace/i

    lines
    |> Enum.flat_map(&(Regex.run(exception, &1, capture: :all_but_first) || []))
    |> Enum.reject(&Regex.match?(repeated, &1))
    |> List.last()
  end

  ## Start

  @impl true
  def init(options) do
    Process.flag(:trap_exit, true)
    Logger.metadata(vllm_instance: options.name)

    with {:ok, python} <- Environment.python(options.python),
         {:ok, sources} <- Environment.worker_dir(),
         {:ok, folder, listen} <- listen(options) do
      state = %__MODULE__{
        name: options.name,
        token: token(),
        folder: folder,
        log: options.log,
        grace: options.grace
      }

      state |> open_port(python, sources, listen, options) |> await_ready(options.start_timeout)
    else
      {:error, error} -> {:stop, {:shutdown, error}}
    end
  end

  # A folder that only we may enter; a short name, because a socket's path is short. With TCP it is
  # for the files of vLLM's processes alone.
  defp listen(%{listen: listen, socket_dir: dir}) do
    folder = Path.join(dir || System.tmp_dir() || "/tmp", "vllm-" <> random(4))

    with {:ok, address} <- address_in(folder, listen),
         :ok <- File.mkdir(folder),
         :ok <- File.chmod(folder, 0o700) do
      {:ok, folder, address}
    else
      {:error, %Error{} = error} ->
        {:error, error}

      {:error, reason} ->
        {:error,
         Error.new(
           :worker_down,
           "cannot make the folder #{folder} for the worker's socket and files: " <>
             "#{:file.format_error(reason)}; set the option :socket_dir, or TMPDIR, to a folder " <>
             "that can be written"
         )}
    end
  end

  defp address_in(_folder, {:tcp, port}), do: {:ok, "tcp:127.0.0.1:#{port}"}

  defp address_in(folder, :unix) do
    path = Path.join(folder, "s")
    with :ok <- Socket.check_path(path), do: {:ok, "unix:" <> path}
  end

  defp open_port(state, python, sources, listen, options) do
    port =
      Port.open({:spawn_executable, python}, [
        :binary,
        :exit_status,
        :stderr_to_stdout,
        :hide,
        line: @line_bytes,
        args: arguments(listen, options),
        env: environment(state, sources, options.env)
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

  defp arguments(listen, options) do
    ["-m", "python_worker", "--listen", listen, "--max-calls", "#{options.max_calls}"] ++
      ["--lifeline", "stdin"] ++
      ["--grace", "#{options.grace / 1000}"] ++
      Watchdog.arguments(options.watchdog) ++
      if(options.engine_class, do: ["--engine-class", options.engine_class], else: []) ++
      options.worker_args
  end

  # PYTHONSAFEPATH: a folder called vllm or torch in the current directory, which is that of the
  # user's project, must not be taken for the Python package.
  defp environment(%{token: token, folder: folder}, sources, extra) do
    extra = Map.new(extra, fn {key, value} -> {to_string(key), value} end)
    path = Enum.join([sources | List.wrap(extra["PYTHONPATH"] || inherited_path())], ":")

    %{"PYTHONSAFEPATH" => "1", "PYTHONUNBUFFERED" => "1"}
    |> Map.merge(extra)
    |> Map.merge(%{"PYTHONPATH" => path, "VLLM_BRIDGE_TOKEN" => token})
    |> Map.put("VLLM_BRIDGE_FOLDER", folder)
    |> Enum.map(fn {key, value} ->
      {String.to_charlist(key), value && String.to_charlist(value)}
    end)
  end

  defp inherited_path, do: System.get_env("PYTHONPATH") || []

  defp token, do: random(16)
  defp random(bytes), do: bytes |> :crypto.strong_rand_bytes() |> Base.encode16(case: :lower)

  defp await_ready({:failed, state, message}, _timeout) do
    fail_start(%{state | running?: false}, message)
  end

  defp await_ready(state, timeout) do
    timer = if timeout != :infinity, do: Process.send_after(self(), :start_timeout, timeout)
    result = receive_ready(state)
    if timer, do: Process.cancel_timer(timer)

    receive do
      :start_timeout -> :ok
    after
      0 -> :ok
    end

    result
  end

  defp receive_ready(%{port: port} = state) do
    receive do
      {^port, {:data, data}} ->
        case take_data(state, data) do
          {@ready <> json, state} -> ready(state, json)
          {line, state} -> state |> log(line) |> receive_ready()
        end

      {^port, {:exit_status, status}} ->
        fail_start(
          %{state | running?: false, status: status},
          "the worker ended with #{status(status)} before it served; `mix vllm.doctor` looks for " <>
            "the reason"
        )

      :start_timeout ->
        fail_start(state, "the worker was not ready in time (option :start_timeout)")

      {:EXIT, pid, reason} when is_pid(pid) ->
        cleanup(state)
        {:stop, reason}
    end
  end

  # Written by the worker for this pattern; the standard library has no JSON.
  defp ready(state, json) do
    with [_, address] <- Regex.run(~r/"address": ?"([^"]+)"/, json),
         [_, pid] <- Regex.run(~r/"pid": ?(\d+)/, json) do
      state = %{state | address: address, os_pid: String.to_integer(pid)}
      event(:ready, state, lasted(state), %{address: address})
      Obituary.clear(state.name)
      {:ok, state}
    else
      nil -> fail_start(state, "the worker's READY line cannot be read: #{json}")
    end
  end

  defp fail_start(state, message) do
    cleanup(state)
    error = Error.new(:worker_down, message <> last_lines(state), details: log_details(state))
    Obituary.put(state.name, error)
    {:stop, {:shutdown, error}}
  end

  ## Messages

  @impl true
  def handle_call(:address, _from, state), do: {:reply, {:ok, state.address, state.token}, state}

  def handle_call(:info, _from, state) do
    info = %{os_pid: state.os_pid, log: :queue.to_list(state.lines), seen: state.seen}
    {:reply, info, state}
  end

  # Answered when the worker has ended.
  def handle_call(:end, from, state), do: {:noreply, %{state | asked: [from | state.asked]}}

  def handle_call(:give_up, _from, state), do: {:reply, :ok, %{state | running?: false}}

  @impl true
  def handle_info({port, {:data, data}}, %{port: port} = state) do
    {line, state} = take_data(state, data)
    {:noreply, log(state, line)}
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
    message = "the worker ended with #{status(status)}" <> last_lines(state)
    Logger.error(message)
    error = Error.new(:worker_down, message, details: log_details(state))
    Obituary.put(state.name, error)
    for from <- state.asked, do: GenServer.reply(from, error)
    error
  end

  defp log_details(state),
    do: %{"log" => state.lines |> :queue.to_list() |> Enum.take(-@shown_lines)}

  ## Its log

  defp take_data(state, {:noeol, part}), do: {nil, %{state | partial: [state.partial, part]}}

  defp take_data(state, {:eol, part}) do
    {IO.iodata_to_binary([state.partial, part]), %{state | partial: []}}
  end

  defp log(state, nil), do: state

  defp log(state, line) do
    # Progress bars end in a carriage return, and Python writes bytes that are no UTF-8.
    line = line |> String.trim_trailing("\r") |> printable()
    if state.log, do: Logger.log(level(state.log, line), line)

    lines = :queue.in(line, state.lines)
    lines = if :queue.len(lines) > @kept_lines, do: :queue.drop(lines), else: lines
    %{state | lines: lines, seen: state.seen + 1}
  end

  # Python's levels, at the beginning of a line or after the name of one of vLLM's processes.
  defp level(:auto, line) do
    case Regex.run(~r/^(?:\([^)]*\) )?(DEBUG|WARNING|ERROR|CRITICAL)\b/, line) do
      [_, "DEBUG"] -> :debug
      [_, "WARNING"] -> :warning
      [_, _error] -> :error
      nil -> :info
    end
  end

  defp level(level, _line), do: level

  defp printable(line) do
    if String.valid?(line), do: line, else: inspect(line, binaries: :as_strings)
  end

  defp last_lines(state) do
    case state.lines |> :queue.to_list() |> Enum.take(-@shown_lines) do
      [] -> "; it printed nothing"
      lines -> "; its last lines were:\n\n" <> Enum.map_join(lines, "\n", &("    " <> &1))
    end
  end

  defp status(status) when status > 128, do: "exit status #{status} (signal #{status - 128})"
  defp status(status), do: "exit status #{status}"

  ## End

  defp cleanup(state) do
    status = if state.os_pid, do: stop_process(state)
    if state.started, do: event(:exit, state, lasted(state), %{status: state.status || status})
    if state.folder, do: remove_files(state.folder)
    :ok
  end

  # Its shared memory is named after the folder (python_worker/belongings.py).
  defp remove_files(folder) do
    for path <- Path.wildcard("/dev/shm/#{Path.basename(folder)}_*"), do: File.rm(path)
    File.rm_rf(folder)
  end

  # Asks, waits while the process is there, then sweeps its group. One script, by the shell, whose
  # kill is built in: not every container has the program. It asks the kernel and does not wait for
  # the port's exit status, which comes only when the last process with the worker's stdout has
  # gone: one of those may be what has to be swept. The group gets a second after the worker: its
  # processes die with it by themselves, and Python's resource tracker unlinks the shared memory
  # that they leave behind.
  @stop """
  kill -s TERM $1
  while kill -s 0 $1 && [ $2 -gt 0 ]; do sleep 0.05; set -- $1 $(($2 - 1)); done
  [ $2 -gt 0 ] || echo late >&3
  kill -s KILL $1
  n=20
  while kill -s 0 -- -$1 && [ $n -gt 0 ]; do sleep 0.05; n=$(($n - 1)); done
  kill -s KILL -- -$1
  """

  defp stop_process(state) do
    ticks = if state.running?, do: div(state.grace + @shutdown_timeout, 50) + 1, else: 1

    arguments = [
      "-c",
      "exec 3>&1 >/dev/null 2>&1\n" <> @stop,
      "sh",
      "#{state.os_pid}",
      "#{ticks}"
    ]

    case System.cmd("/bin/sh", arguments) do
      {"", _status} ->
        if state.running?, do: await_exit(state)

      {_late, _status} ->
        waited = if state.running?, do: "it did not stop in #{state.grace + @shutdown_timeout} ms"
        Logger.warning("killed the worker: #{waited || "it was given up"}")
        nil
    end
  end

  defp await_exit(%{port: port} = state) do
    receive do
      {^port, {:data, data}} ->
        {line, state} = take_data(state, data)
        state |> log(line) |> await_exit()

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
    Telemetry.event([:vllm, :worker, what], measurements, metadata)
  end

  defp lasted(state), do: %{duration: System.monotonic_time() - state.started}
end
