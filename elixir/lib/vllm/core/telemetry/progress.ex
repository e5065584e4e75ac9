defmodule Vllm.Core.Telemetry.Progress do
  @moduledoc false
  # Tells how far a batch has come, in the process that called it: as a telemetry event,
  # and as a bar if that process is an IEx shell. Other processes of an application with a shell draw
  # nothing: the terminal is not theirs.

  alias Vllm.Core.Telemetry.Emitter

  @width 20

  # Whether the line of a bar is not finished yet. Only in a shell's own process.
  @open {__MODULE__, :open}

  @doc "A function that is called with each `Vllm.Proto.Progress`, and with `:over` at the end."
  @spec reporter(map()) :: (struct() | :over -> term())
  def reporter(metadata), do: &report(metadata, &1)

  defp report(_metadata, :over) do
    if Process.delete(@open), do: IO.puts("")
  end

  defp report(metadata, progress) do
    measurements = %{
      done: progress.done,
      total: progress.total,
      duration: System.convert_time_unit(progress.elapsed_ms, :millisecond, :native)
    }

    metadata = Map.merge(metadata, %{description: progress.description, note: progress.note})
    Emitter.event([:vllm, :llm, :progress], measurements, metadata)
    if shell?(), do: draw(progress)
  end

  @doc "Whether the calling process is a shell at a terminal that can draw over a line."
  @spec terminal?() :: boolean()
  def terminal?, do: shell?() and IO.ANSI.enabled?()

  # IEx puts this into the dictionary of the process that evaluates what is typed.
  defp shell?, do: Process.get(:iex_server) != nil

  defp draw(progress) do
    IO.write(["\r", bar(progress), "\e[K"])

    if progress.done == progress.total do
      Process.delete(@open)
      IO.puts("")
    else
      Process.put(@open, true)
    end
  end

  @doc "The line for a terminal."
  @spec bar(struct()) :: String.t()
  def bar(%{total: 0} = progress), do: "#{progress.description}: #{progress.done}"

  def bar(%{done: done, total: total} = progress) do
    filled = min(div(done * @width, total), @width)
    bar = String.duplicate("#", filled) <> String.duplicate(".", @width - filled)
    seconds = :erlang.float_to_binary(progress.elapsed_ms / 1000, decimals: 1)
    note = if progress.note == "", do: "", else: ", #{progress.note}"
    "#{progress.description}: [#{bar}] #{done}/#{total} (#{seconds} s#{note})"
  end
end
