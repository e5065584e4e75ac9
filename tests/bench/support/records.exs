# Runs that were recorded, for `make bench-check`: one file for each kind of machine, which holds the
# last run of each benchmark as a term.

defmodule Bench.Records do
  alias Bench.Figure

  @folder Path.expand("../records", __DIR__)

  @doc "The file of this kind of machine: processor and cores."
  def path(record, folder \\ @folder) do
    slug = "#{record.processor} #{record.cores} cores" |> String.downcase()
    Path.join(folder, String.replace(slug, ~r/[^a-z0-9]+/, "-") <> ".exs")
  end

  @doc "The last runs on this kind of machine: `%{benchmark => run}`."
  def read(path) do
    if File.exists?(path), do: path |> Code.eval_file() |> elem(0), else: %{}
  end

  @doc "Puts the run of one benchmark in the place of its last one."
  def write(path, name, run) do
    File.mkdir_p!(Path.dirname(path))
    runs = path |> read() |> Map.put(name, run)
    text = inspect(runs, limit: :infinity, printable_limit: :infinity, structs: true, width: 98)

    File.write!(path, [
      "# Made by `make bench`: the last run on this kind of machine.\n",
      text,
      "\n"
    ])
  end

  @doc "What of a run is kept: when it was and on what, and its figures, each under its own name."
  def run(record, tables) do
    figures = for table <- tables, row <- table.rows, named <- figures(table, row), do: named
    %{record: record, figures: Map.new(figures)}
  end

  # A row is named by what it shows beside figures and measured numbers: texts, and counts of streams.
  defp figures(table, row) do
    names =
      for {key, _column} <- table.columns,
          value = row[key],
          is_binary(value) or is_atom(value) or is_integer(value),
          do: "#{value}"

    for {key, %Figure{} = figure} <- row,
        do: {Enum.join([table.title | names] ++ ["#{key}"], " | "), figure}
  end

  @doc "Which figures became worse by more than their noise: lines for a person; and how many were compared."
  def compare(now, before) do
    both = for {name, figure} <- now.figures, old = before.figures[name], do: {name, figure, old}

    lines =
      for {name, figure, old} <- Enum.sort(both), Figure.worse?(figure, old) do
        "#{name}: #{shown(old)} → #{shown(figure)} (#{range(old)} → #{range(figure)})"
      end

    {lines, length(both)}
  end

  defp shown(figure), do: figure |> Figure.value() |> number()

  defp range(%{rounds: rounds}),
    do: rounds |> Enum.min_max() |> Tuple.to_list() |> Enum.map_join("–", &number/1)

  defp number(number), do: :erlang.float_to_binary(number / 1, decimals: 2)
end
