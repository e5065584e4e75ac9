defmodule Vllm.Core.Worker.Log do
  @moduledoc false
  # The output of a worker: assembles lines from the messages of the port, passes them to LogWriter, and
  # keeps the last ones, because nothing else explains why a worker or an engine did not start.

  import Vllm.Core.OuterSize

  alias Vllm.Core.Worker.{JSONLine, LogWriter}

  # When an engine fails to start vLLM prints some eighty lines, with the cause among the first, and
  # several engines may fail at once.
  @kept_lines 400
  # How many of them an error shows.
  @shown_lines 50

  # A longer line is cut and the rest is counted, because output without a line break would otherwise
  # fill the memory. Logger cuts messages after 8 kB anyway.
  @line_bytes 16 * 1024

  # A message of the port holds up to 64 kB, and as many lines if they are empty. Of more lines than
  # this the oldest are dropped.
  @max_lines 1000

  # What is read of a message at all when the worker prints faster than lines can be handled.
  @newest_bytes 4 * 1024
  @newest_lines 20

  defstruct [
    # the option :log: a level, :auto or false
    :level,
    # Vllm.Core.Worker.LogWriter; nil if nothing is logged
    :writer,
    # the beginning of a line that has not ended
    :partial,
    # how many bytes of that line were dropped
    dropped: 0,
    # whether the beginning of the line was dropped, so that the rest of it is to be dropped too
    cut?: false,
    lines: :queue.new(),
    # how many lines have been added, including those that are no longer kept; not those that were
    # dropped, so that the difference of two counts is how many of the newest were added in between
    seen: 0
  ]

  @type t :: %__MODULE__{}

  @doc "The most of a line that is kept, in bytes."
  @spec line_bytes() :: pos_integer()
  def line_bytes, do: @line_bytes

  @typedoc """
  How much of a message is read: all of it; up to a thousand lines; or, when the worker prints faster than lines
  can be handled, the end of the line that has begun and the newest lines.
  """
  @type part :: :all | :lines | :newest

  @doc "Takes a message of the port. Returns the lines that it completes."
  @spec take(t(), binary(), part()) :: {[String.t()], t()}
  def take(log, data, part \\ :all)

  def take(%{cut?: true} = log, data, part) do
    case :binary.split(data, "\n") do
      [head, rest] -> log |> skip(byte_size(head) + 1) |> take(rest, part)
      [data] -> {[], %{skip(log, byte_size(data)) | cut?: true}}
    end
  end

  def take(log, data, :all), do: lines(log, data, :infinity)
  def take(log, data, :lines), do: lines(log, data, @max_lines)

  def take(log, data, :newest) do
    case :binary.split(data, "\n") do
      [head, rest] ->
        {ended, log} = lines(log, [head, ""], 1)
        {lines, log} = newest(log, rest)
        {ended ++ lines, log}

      # No line ends in it.
      [data] ->
        {[], begin(log, data)}
    end
  end

  @doc "Drops so many bytes of output, with the line that has begun."
  @spec skip(t(), non_neg_integer()) :: t()
  def skip(log, bytes) do
    begun = if log.partial, do: byte_size(log.partial) + log.dropped, else: 0
    writer = log.writer && LogWriter.drop(log.writer, begun + bytes)
    %{log | partial: nil, dropped: 0, cut?: false, writer: writer}
  end

  @doc "Drops messages of the port, with the line that has begun, and the rest of the line that they cut."
  @spec skip_messages(t(), [binary()]) :: t()
  def skip_messages(log, []), do: log

  def skip_messages(log, messages) do
    whole? = messages |> List.last() |> String.ends_with?("\n")
    %{skip(log, IO.iodata_length(messages)) | cut?: not whole?}
  end

  defp newest(log, data) when byte_size(data) <= @newest_bytes,
    do: lines(log, data, @newest_lines)

  defp newest(log, data) do
    skipped = byte_size(data) - @newest_bytes
    <<_older::binary-size(outer(skipped)), newer::binary>> = data

    # From the first line that begins in it.
    case :binary.split(newer, "\n") do
      [cut, newer] -> log |> skip(skipped + byte_size(cut)) |> lines(newer, @newest_lines)
      [cut] -> {[], log |> skip(skipped) |> begin(cut)}
    end
  end

  defp lines(log, data, most) when is_binary(data),
    do: lines(log, :binary.split(data, "\n", [:global]), most)

  defp lines(log, parts, most) do
    {parts, [last]} = Enum.split(parts, -1)
    {log, parts} = drop_oldest(log, parts, most)

    {lines, log} =
      Enum.map_reduce(parts, log, fn part, log ->
        %{partial: line, dropped: dropped} = log = begin(log, part)
        {shortened(line, dropped), %{log | partial: nil, dropped: 0}}
      end)

    {lines, if(last == "", do: log, else: begin(log, last))}
  end

  defp drop_oldest(log, parts, most) do
    # An atom is greater than any number.
    count = length(parts)

    if count <= most do
      {log, parts}
    else
      {oldest, parts} = Enum.split(parts, count - most)
      {skip(log, Enum.reduce(oldest, 0, &(byte_size(&1) + 1 + &2))), parts}
    end
  end

  # Copied, because a part of a binary keeps the whole in memory.
  defp begin(%{partial: nil} = log, part) do
    kept = min(byte_size(part), @line_bytes)
    line = :binary.copy(binary_part(part, 0, kept))
    %{log | partial: line, dropped: log.dropped + byte_size(part) - kept}
  end

  defp begin(%{partial: line, dropped: 0} = log, part) when byte_size(line) < @line_bytes do
    begin(%{log | partial: nil}, line <> part)
  end

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
  @spec add(t(), String.t()) :: t()
  def add(log, line) do
    # Progress bars end in a carriage return, and Python may print bytes that are not UTF-8.
    line = line |> String.trim_trailing("\r") |> printable()
    writer = log.writer && LogWriter.add(log.writer, {level(log.level, line), line})

    lines = :queue.in(line, log.lines)
    lines = if :queue.len(lines) > @kept_lines, do: :queue.drop(lines), else: lines
    %{log | lines: lines, seen: log.seen + 1, writer: writer}
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

    lines = Enum.flat_map(lines, &JSONLine.as_text/1)
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

  defp level(:auto, line), do: level(line)
  defp level(level, _line), do: level

  @doc "Python's log level, at the start of a line or after the name of a vLLM process."
  @spec level(String.t()) :: :debug | :info | :warning | :error
  def level(line) do
    line = line |> JSONLine.as_text() |> hd()

    case Regex.run(~r/^(?:\([^)]*\) )?(DEBUG|WARNING|ERROR|CRITICAL)\b/, line) do
      [_, "DEBUG"] -> :debug
      [_, "WARNING"] -> :warning
      [_, _error] -> :error
      nil -> :info
    end
  end

  defp printable(line) do
    if String.valid?(line), do: line, else: inspect(line, binaries: :as_strings)
  end
end
