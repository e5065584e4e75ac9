defmodule Vllm.Core.Worker.Log do
  @moduledoc false
  # The output of a worker: assembles lines from the messages of the port, passes them to Logger, and
  # keeps the last ones, because nothing else explains why a worker or an engine did not start.

  require Logger

  # When an engine fails to start vLLM prints some eighty lines, with the cause among the first, and
  # several engines may fail at once.
  @kept_lines 400
  # How many of them an error shows.
  @shown_lines 50

  # The most that a message of the port holds. A longer line is cut after its first message and the
  # rest is counted, because output without a line break would otherwise fill the memory. Logger cuts
  # messages after 8 kB anyway.
  @line_bytes 16 * 1024

  defstruct [
    # the option :log: a level, :auto or false
    :level,
    # the beginning of a line that has not ended
    :partial,
    # how many bytes of that line were dropped
    dropped: 0,
    lines: :queue.new(),
    # how many lines have been added, including those that are no longer kept
    seen: 0
  ]

  @type t :: %__MODULE__{}

  @doc "The longest line that the port sends in one message, in bytes."
  @spec line_bytes() :: pos_integer()
  def line_bytes, do: @line_bytes

  @doc "Takes a message of a port with the option `:line`. Returns a line, or `nil` before its end."
  @spec take(t(), {:eol | :noeol, binary()}) :: {String.t() | nil, t()}
  def take(log, {:noeol, part}), do: {nil, begin(log, part)}

  def take(log, {:eol, part}) do
    %{partial: line, dropped: dropped} = log = begin(log, part)
    {shortened(line, dropped), %{log | partial: nil, dropped: 0}}
  end

  defp begin(%{partial: nil} = log, part), do: %{log | partial: part}
  defp begin(log, part), do: %{log | dropped: log.dropped + byte_size(part)}

  defp shortened(line, 0), do: line
  defp shortened(line, dropped), do: whole(line) <> "… (#{dropped} bytes more)"

  # Removes the first bytes of a character that was cut in the middle. UTF-8 uses up to four.
  defp whole(line) do
    Enum.find_value(0..3, line, fn cut ->
      shorter = binary_part(line, 0, max(byte_size(line) - cut, 0))
      if String.valid?(shorter), do: shorter
    end)
  end

  @doc "Keeps a line and passes it to Logger."
  @spec add(t(), String.t() | nil) :: t()
  def add(log, nil), do: log

  def add(log, line) do
    # Progress bars end in a carriage return, and Python may print bytes that are not UTF-8.
    line = line |> String.trim_trailing("\r") |> printable()
    if log.level, do: Logger.log(level(log.level, line), line)

    lines = :queue.in(line, log.lines)
    lines = if :queue.len(lines) > @kept_lines, do: :queue.drop(lines), else: lines
    %{log | lines: lines, seen: log.seen + 1}
  end

  @doc "The lines that are kept, oldest first."
  @spec lines(t()) :: [String.t()]
  def lines(log), do: :queue.to_list(log.lines)

  @doc "The last of these lines, as many as an error shows."
  @spec shown([String.t()]) :: [String.t()]
  def shown(lines), do: Enum.take(lines, -@shown_lines)

  @doc "The details of an error."
  @spec details(t()) :: map()
  def details(log), do: %{"log" => log |> lines() |> shown()}

  @doc "The last lines, to append to the message of an error."
  @spec last_lines(t()) :: String.t()
  def last_lines(log) do
    case log |> lines() |> shown() do
      [] -> "; it printed nothing"
      lines -> "; its last lines were:\n\n" <> Enum.map_join(lines, "\n", &("    " <> &1))
    end
  end

  # Each vLLM process reports that the process below it has failed. The cause is the last exception
  # that is not such a report. If several engines have failed, it may belong to any of them, because the
  # log does not say which Worker belongs to which EngineCore. The regexes are not in attributes, where
  # they do not compile on OTP 28.
  @doc """
  The exception that ended a vLLM process, if these lines name one. If several engines have failed,
  all exceptions that the lines name.
  """
  @spec root_causes([String.t()]) :: [String.t()]
  def root_causes(lines) do
    exception = ~r/(?:^|\] )((?:\w+\.)*\w*(?:Error|Exception): .+)$/
    repeated = ~r/initialization failed|root cause|stack trace/i

    failed = for line <- lines, [_, text] <- [Regex.run(exception, line)], do: {line, text}
    causes = for {_line, text} <- failed, not (text =~ repeated), do: text
    if several_engines?(failed), do: Enum.uniq(causes), else: Enum.take(causes, -1)
  end

  # The EngineCore processes of one engine have different names: EngineCore_DP0, EngineCore_DP1. So
  # two processes with one name belong to two engines.
  defp several_engines?(failed) do
    processes =
      for {line, _text} <- failed,
          [_, name, pid] <- [Regex.run(~r/^\((EngineCore\w*) pid=(\d+)\)/, line)],
          uniq: true,
          do: {name, pid}

    processes |> Enum.uniq_by(&elem(&1, 0)) |> length() < length(processes)
  end

  # Python's log level, at the start of a line or after the name of a vLLM process.
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
end
