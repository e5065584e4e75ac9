defmodule Vllm.Core.Worker.Output do
  @moduledoc false
  # Takes the messages of a worker's port into its log. A port has no flow control, so all that wait are
  # taken at once, and when they are too many only the newest lines are read.

  alias Vllm.Core.Worker.{Launch, Log}

  # Of the messages that wait, so many, or messages of so many bytes, are taken at once. With
  # more than `@much` bytes in them the worker prints faster than its lines can be handled.
  @max_messages 1000
  @max_bytes 1024 * 1024
  @much 256 * 1024

  @typedoc "What the READY line says, if there was one; see `Launch.ready/1`."
  @type ready :: {:ok, map()} | {:error, String.t()} | :no

  @doc "Takes a message of the port and those that wait. Called by the owner of the port."
  @spec take(port(), binary(), Log.t()) :: Log.t()
  def take(port, data, log) do
    {messages, much?} = waiting(port, data)
    if much?, do: newest(messages, log), else: whole(messages, log)
  end

  @doc """
  As `take/3`, and looks for the READY line. A worker may print much before it; it is neither dropped
  nor cut.
  """
  @spec take_until_ready(port(), binary(), Log.t()) :: {ready(), Log.t()}
  def take_until_ready(port, data, log) do
    {messages, much?} = waiting(port, data)

    Enum.reduce(messages, {:no, log}, fn data, {found, log} ->
      part = if much? and not Launch.ready_in?(data), do: :newest, else: :all
      {lines, log} = Log.take(log, data, part)
      Enum.reduce(lines, {found, log}, &read_line/2)
    end)
  end

  # The READY line is no part of the log; what follows it is.
  defp read_line(line, {:no, log}) do
    case Launch.ready(line) do
      :no -> {:no, Log.add(log, line)}
      found -> {found, log}
    end
  end

  defp read_line(line, {found, log}), do: {found, Log.add(log, line)}

  defp whole(messages, log),
    do: Enum.reduce(messages, log, &(&2 |> Log.take(&1, :lines) |> add()))

  defp newest(messages, log) do
    {older, [newest]} = Enum.split(messages, -1)
    log |> Log.skip_messages(older) |> Log.take(newest, :newest) |> add()
  end

  defp add({lines, log}), do: Enum.reduce(lines, log, &Log.add(&2, &1))

  # The messages of the port that have arrived, and whether they are too much to handle every line.
  defp waiting(port, data), do: waiting(port, [data], 1, byte_size(data))

  defp waiting(port, messages, count, bytes) when count < @max_messages and bytes < @max_bytes do
    receive do
      {^port, {:data, data}} ->
        waiting(port, [data | messages], count + 1, bytes + byte_size(data))
    after
      0 -> {Enum.reverse(messages), bytes > @much}
    end
  end

  defp waiting(_port, messages, _count, bytes), do: {Enum.reverse(messages), bytes > @much}
end
