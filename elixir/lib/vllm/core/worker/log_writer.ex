defmodule Vllm.Core.Worker.LogWriter do
  @moduledoc false
  # Passes the lines of a worker to Logger, in a process of its own, because Logger makes its callers
  # wait when handlers are slow. The owner of the port must never wait: a port has no flow control, and
  # what is not taken fills the memory.
  #
  # The owner keeps the struct, and the process gets one batch at a time. Up to a limit of bytes wait in
  # the struct for the next one, more lines are dropped and their bytes counted. The count is logged
  # once in each period.

  use GenServer
  use Vllm.Core.RedactedServer

  alias Vllm.Core.RedactedServer

  require Logger

  # Bytes that wait for the process. More is printed faster than it can be logged.
  @max_bytes 1024 * 1024

  # Milliseconds between two warnings.
  @period 10_000

  # Milliseconds that the end of a worker waits for the last lines.
  @patience 1_000

  # waiting: lines, newest first; bytes: their size; batch: the size of the lines that the process has,
  # 0 when it has none; dropped: bytes since the last warning
  defstruct [:pid, :instance, waiting: [], bytes: 0, batch: 0, dropped: 0]

  @type t :: %__MODULE__{}
  @type line :: {Logger.level(), String.t()}

  @doc "The most that waits for the process, in bytes."
  @spec max_bytes() :: pos_integer()
  def max_bytes, do: @max_bytes

  @doc "Starts the process. It ends with the calling process, which gets its messages."
  @spec start(atom()) :: t()
  def start(instance) do
    {:ok, pid} = GenServer.start_link(__MODULE__, {instance, self()})
    %__MODULE__{pid: pid, instance: instance}
  end

  @doc "Starts the process again after it has ended. The lines that it had are lost."
  @spec restart(t()) :: t()
  def restart(writer) do
    %{pid: pid} = start(writer.instance)
    drop(%{writer | pid: pid, batch: 0}, writer.batch) |> write()
  end

  @doc "Adds a line, or drops it if too many wait."
  @spec add(t(), line()) :: t()
  def add(writer, {_level, text} = line) do
    # The least that a line costs is its place in the list.
    size = byte_size(text) + 64

    if writer.bytes + size > @max_bytes,
      do: drop(writer, byte_size(text)),
      else: write(%{writer | waiting: [line | writer.waiting], bytes: writer.bytes + size})
  end

  @doc "Counts bytes that are not logged."
  @spec drop(t(), non_neg_integer()) :: t()
  def drop(writer, 0), do: writer

  def drop(writer, bytes) do
    if writer.dropped == 0, do: Process.send_after(self(), {__MODULE__, :report}, @period)
    %{writer | dropped: writer.dropped + bytes}
  end

  @doc "Handles a message of the process or of the timer."
  @spec handle(t(), :written | :report) :: t()
  def handle(writer, :written), do: write(%{writer | batch: 0})

  def handle(%{dropped: 0} = writer, :report), do: writer

  def handle(writer, :report) do
    GenServer.cast(writer.pid, {:lines, [{:warning, dropped(writer.dropped)}], :no_answer})
    %{writer | dropped: 0}
  end

  @doc "Waits until the lines so far are logged, for a limited time."
  @spec flush(t()) :: :ok
  def flush(writer), do: flush(writer, System.monotonic_time(:millisecond) + @patience)

  defp flush(writer, deadline) do
    case writer |> handle(:report) |> write() do
      %{batch: 0} ->
        :ok

      writer ->
        receive do
          {__MODULE__, :written} -> writer |> handle(:written) |> flush(deadline)
        after
          max(deadline - System.monotonic_time(:millisecond), 0) -> :ok
        end
    end
  end

  defp write(%{batch: 0, waiting: [_ | _] = lines} = writer) do
    GenServer.cast(writer.pid, {:lines, Enum.reverse(lines), :answer})
    %{writer | waiting: [], bytes: 0, batch: writer.bytes}
  end

  defp write(writer), do: writer

  defp dropped(bytes) do
    "#{bytes} bytes of the worker's output were not logged: it prints faster than its lines can be " <>
      "logged; lower the level of what prints them, or set the option :log to false"
  end

  ## The process

  @impl true
  def init({instance, owner}) do
    Logger.metadata(vllm_instance: instance)
    {:ok, owner}
  end

  @impl true
  def handle_cast({:lines, lines, answer}, owner) when is_list(lines) do
    for {level, text} <- lines, do: Logger.log(level, text)
    if answer == :answer, do: send(owner, {__MODULE__, :written})
    {:noreply, owner}
  end

  def handle_cast(other, owner), do: RedactedServer.stray(__MODULE__, "cast", other, owner)

  @impl true
  def handle_call(other, _from, owner), do: RedactedServer.stray_call(__MODULE__, other, owner)

  @impl true
  def handle_info(other, owner), do: RedactedServer.stray(__MODULE__, "message", other, owner)

  @impl RedactedServer.format_status?()
  # The lines may hold prompts, if vLLM is told to log requests.
  def format_status(status), do: RedactedServer.hide(status, &%{owner: &1})
end
