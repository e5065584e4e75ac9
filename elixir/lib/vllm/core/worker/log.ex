defmodule Vllm.Core.Worker.Log do
  @moduledoc false
  # What a worker prints: lines are put together from what the port brings, passed on to Logger, and
  # the last are kept, because they are the only thing that explains why a worker or an engine did
  # not start.

  require Logger

  # Of a start that failed vLLM prints some eighty lines, the cause among the first, and several may
  # fail at once.
  @kept_lines 400
  @shown_lines 50

  # The port's messages hold this much at most. Of a line that is longer, its beginning is kept and
  # the rest counted: who prints without ever ending a line would otherwise fill the memory, and
  # Logger cuts a message after 8 kB as it is.
  @line_bytes 16 * 1024

  defstruct [
    # the option :log: a level, :auto, or nothing
    :level,
    # the beginning of a line that has not ended, and how many bytes of it were dropped
    :partial,
    dropped: 0,
    lines: :queue.new(),
    # how many lines there were, with those that are no longer kept
    seen: 0
  ]

  @type t :: %__MODULE__{}

  @doc "How long a line may be, for the port."
  @spec line_bytes() :: pos_integer()
  def line_bytes, do: @line_bytes

  @doc "Takes what a port with the option `:line` brings: a line, or `nil` while it has not ended."
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

  # Without the first bytes of a character that was cut: it has four at most.
  defp whole(line) do
    Enum.find_value(0..3, line, fn cut ->
      shorter = binary_part(line, 0, max(byte_size(line) - cut, 0))
      if String.valid?(shorter), do: shorter
    end)
  end

  @doc "Keeps a line and passes it on."
  @spec add(t(), String.t() | nil) :: t()
  def add(log, nil), do: log

  def add(log, line) do
    # Progress bars end in a carriage return, and Python writes bytes that are no UTF-8.
    line = line |> String.trim_trailing("\r") |> printable()
    if log.level, do: Logger.log(level(log.level, line), line)

    lines = :queue.in(line, log.lines)
    lines = if :queue.len(lines) > @kept_lines, do: :queue.drop(lines), else: lines
    %{log | lines: lines, seen: log.seen + 1}
  end

  @doc "The lines that are kept."
  @spec lines(t()) :: [String.t()]
  def lines(log), do: :queue.to_list(log.lines)

  @doc "Those of the lines that an error shows."
  @spec shown([String.t()]) :: [String.t()]
  def shown(lines), do: Enum.take(lines, -@shown_lines)

  @doc "The details of an error."
  @spec details(t()) :: map()
  def details(log), do: %{"log" => log |> lines() |> shown()}

  @doc "The last lines as the end of an error's message."
  @spec last_lines(t()) :: String.t()
  def last_lines(log) do
    case log |> lines() |> shown() do
      [] -> "; it printed nothing"
      lines -> "; its last lines were:\n\n" <> Enum.map_join(lines, "\n", &("    " <> &1))
    end
  end

  # Each process of vLLM's repeats that the one below it has failed. The cause is the last that
  # does not only say so. Where several engines have failed it may be that of another: which worker
  # process belongs to which EngineCore is not said. The expressions stand here and not in
  # attributes, from which they do not compile on OTP 28.
  @doc """
  The exception that ended a process of vLLM's, if these lines name one; all that they name if
  several engines have failed.
  """
  @spec root_causes([String.t()]) :: [String.t()]
  def root_causes(lines) do
    exception = ~r/(?:^|\] )((?:\w+\.)*\w*(?:Error|Exception): .+)$/
    repeated = ~r/initialization failed|root cause|stack trace/i

    failed = for line <- lines, [_, text] <- [Regex.run(exception, line)], do: {line, text}
    causes = for {_line, text} <- failed, not (text =~ repeated), do: text
    if several_engines?(failed), do: Enum.uniq(causes), else: Enum.take(causes, -1)
  end

  # The processes of one engine have names of their own: EngineCore_DP0, EngineCore_DP1.
  defp several_engines?(failed) do
    processes =
      for {line, _text} <- failed,
          [_, name, pid] <- [Regex.run(~r/^\((EngineCore\w*) pid=(\d+)\)/, line)],
          uniq: true,
          do: {name, pid}

    processes |> Enum.uniq_by(&elem(&1, 0)) |> length() < length(processes)
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
end
