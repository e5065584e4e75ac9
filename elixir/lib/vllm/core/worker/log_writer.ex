defmodule Vllm.Core.Worker.LogWriter do
  @moduledoc false
  # Passes the lines of a worker to Logger, in a process of its own, because Logger makes its callers
  # wait when handlers are slow. The owner of the port must never wait: a port has no flow control, and
  # what is not taken fills the memory.
  #
  # The process gets one batch at a time. Up to a limit of bytes wait here for the next one, more lines
  # are dropped and counted. The count is logged once in each period.

  require Logger

  # Bytes that wait for the process. More is printed faster than it can be logged.
  @max_bytes 1024 * 1024

  # Milliseconds between two warnings.
  @period 10_000

  # Milliseconds that the end of a worker waits for the last lines.
  @patience 1_000

  # waiting: lines, newest first; bytes: their size; busy?: whether the process has a batch
  defstruct [:pid, waiting: [], bytes: 0, busy?: false, dropped: 0]

  @type t :: %__MODULE__{}
  @type line :: {Logger.level(), String.t()}

  @doc "Starts the process. It ends with the calling process, which gets its messages."
  @spec start(atom()) :: t()
  def start(instance) do
    owner = self()

    pid =
      spawn_link(fn ->
        Logger.metadata(vllm_instance: instance)
        loop(owner)
      end)

    %__MODULE__{pid: pid}
  end

  @doc "Adds a line, or drops it if too many wait."
  @spec add(t(), line()) :: t()
  def add(%{bytes: bytes} = writer, {_level, text}) when bytes + byte_size(text) > @max_bytes,
    do: drop(writer, 1)

  def add(writer, {_level, text} = line) do
    # The least that a line costs is its place in the list.
    write(%{writer | waiting: [line | writer.waiting], bytes: writer.bytes + byte_size(text) + 64})
  end

  @doc "Counts lines that were not read in full."
  @spec drop(t(), non_neg_integer()) :: t()
  def drop(writer, 0), do: writer

  def drop(writer, count) do
    if writer.dropped == 0, do: Process.send_after(self(), {__MODULE__, :report}, @period)
    %{writer | dropped: writer.dropped + count}
  end

  @doc "Handles a message of the process or of the timer."
  @spec handle(t(), :written | :report) :: t()
  def handle(writer, :written), do: write(%{writer | busy?: false})

  def handle(%{dropped: 0} = writer, :report), do: writer

  def handle(writer, :report) do
    send(writer.pid, {:lines, [{:warning, dropped(writer.dropped)}], :no_answer})
    %{writer | dropped: 0}
  end

  @doc "Waits until the lines so far are logged, for a limited time."
  @spec flush(t()) :: :ok
  def flush(writer), do: flush(writer, System.monotonic_time(:millisecond) + @patience)

  defp flush(writer, deadline) do
    case writer |> handle(:report) |> write() do
      %{busy?: false} ->
        :ok

      writer ->
        receive do
          {__MODULE__, :written} -> writer |> handle(:written) |> flush(deadline)
        after
          max(deadline - System.monotonic_time(:millisecond), 0) -> :ok
        end
    end
  end

  defp write(%{busy?: false, waiting: [_ | _] = lines} = writer) do
    send(writer.pid, {:lines, Enum.reverse(lines), :answer})
    %{writer | waiting: [], bytes: 0, busy?: true}
  end

  defp write(writer), do: writer

  defp dropped(count) do
    "#{count} lines of the worker's output were not logged: it prints faster than Logger takes them; " <>
      "lower the level of what prints them, or set the option :log to false"
  end

  defp loop(owner) do
    receive do
      {:lines, lines, answer} ->
        for {level, text} <- lines, do: Logger.log(level, text)
        if answer == :answer, do: send(owner, {__MODULE__, :written})

      _stray ->
        Logger.warning("the log writer of a worker ignored a message that is not for it")
    end

    loop(owner)
  end
end
