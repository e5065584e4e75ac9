defmodule Vllm.Core.StatusTable do
  @moduledoc false
  # `Vllm.Status` as lines of at most 76 characters, for IEx and `Vllm.top/1`.

  alias Vllm.{Ref, Status}

  @width 76

  # Title, width, and whether the column is aligned to the right. With a space between two of them and
  # two in front they take the whole width.
  @columns [
    {"engine", 15, :left},
    {"model", 16, :left},
    {"state", 9, :left},
    {"running", 7, :right},
    {"waiting", 7, :right},
    {"tokens/s", 8, :right},
    {"KV", 6, :right}
  ]

  @doc "The lines of the table."
  @spec lines(Status.t()) :: [String.t()]
  def lines(%Status{instances: []}),
    do: ["no instance runs on this node; one is started by its supervisor, or by the first call"]

  def lines(%Status{instances: instances}), do: Enum.flat_map(instances, &instance/1)

  @doc "The texts of an engine's row, in the order of the columns. What is not known is `\"-\"`."
  @spec cells(Status.engine()) :: [String.t()]
  def cells(engine) do
    cells = [
      label(engine),
      model(engine.model),
      state(engine.state),
      engine.running,
      engine.waiting,
      engine.tokens_per_s && decimal(engine.tokens_per_s),
      engine.kv_cache_usage && decimal(engine.kv_cache_usage * 100) <> " %"
    ]

    Enum.map(cells, &text/1)
  end

  defp instance(%{error: nil, worker: worker} = instance) do
    head =
      "#{inspect(instance.name)}: pid #{worker.pid}, vLLM #{worker.vllm_version || "not installed"}, " <>
        "up #{span(worker.uptime_s)}, #{calls(worker.calls)} in flight"

    [cut(head, @width) | engines(instance.engines)]
  end

  defp instance(%{error: error} = instance),
    do: [cut("#{inspect(instance.name)}: #{one_line(error.message)}", @width)]

  defp engines([]), do: ["  no engine"]

  defp engines(engines) do
    titles = for {title, _width, _side} <- @columns, do: title
    [row(titles) | Enum.flat_map(engines, &engine/1)]
  end

  defp engine(engine), do: [row(cells(engine)) | reason(engine.state)]

  defp reason({:failed, error}), do: [cut("    #{one_line(error.message)}", @width)]
  defp reason(_state), do: []

  defp row(cells) do
    @columns
    |> Enum.zip(cells)
    |> Enum.map_join(" ", fn {{_title, width, side}, cell} -> pad(cell, width, side) end)
    |> then(&String.trim_trailing("  " <> &1))
  end

  defp text(nil), do: "-"
  defp text(text) when is_binary(text), do: text
  defp text(number), do: Integer.to_string(number)

  defp pad(text, width, :left), do: text |> cut(width) |> String.pad_trailing(width)
  defp pad(text, width, :right), do: text |> cut(width) |> String.pad_leading(width)

  defp label(%{name: nil, type: type, ref: %Ref{id: id}}),
    do: "#{type} #{String.slice(id, 0, 4)}…"

  defp label(%{name: name}), do: inspect(name)

  # The model of an engine is often a folder.
  defp model(nil), do: nil
  defp model("/" <> _path = folder), do: Path.basename(folder)
  defp model(name), do: name

  defp state({:hangs, seconds}), do: "hangs #{round(seconds)} s"
  defp state({:failed, _error}), do: "failed"
  defp state(state), do: Atom.to_string(state)

  defp calls(1), do: "1 call"
  defp calls(count), do: "#{count} calls"

  defp span(seconds) when seconds < 120, do: "#{round(seconds)} s"
  defp span(seconds) when seconds < 120 * 60, do: "#{round(seconds / 60)} min"
  defp span(seconds) when seconds < 48 * 3600, do: "#{round(seconds / 3600)} h"
  defp span(seconds), do: "#{round(seconds / 86_400)} days"

  defp decimal(number), do: :erlang.float_to_binary(number * 1.0, decimals: 1)

  defp one_line(text), do: text |> String.split("\n") |> hd()

  defp cut(text, width) do
    if String.length(text) > width, do: String.slice(text, 0, width - 1) <> "…", else: text
  end
end
