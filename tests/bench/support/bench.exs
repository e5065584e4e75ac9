# What every benchmark needs: options, turns, statistics, a table for people or JSON for machines.
#
#     Code.require_file("support/bench.exs", __DIR__)
#     opts = Bench.options(System.argv())
#     Bench.report(opts, "name", [Bench.table("title", [streams: "streams", ratio: {"ratio", 2}], rows)])
#
# Options that all scripts take, so that `make bench OPTIONS=…` can give them to all:
#
#     --json       one JSON object: the rows as measured, and what was measured on what (record.exs)
#     --rounds N   how often everything is measured; what is shown are medians
#     --quick      as little as shows that the script works; its figures are worth nothing
#     --all        also what the script measures on demand only
#
# BENCH=record in the environment keeps the run as the last one of this kind of machine, and BENCH=check
# compares it with that one (records.exs). Figures are compared: see `figure/2`.

Code.require_file("environment.exs", __DIR__)

for file <- ~w(figure.exs record.exs records.exs processes.exs lines.exs),
    do: Code.require_file(file, __DIR__)

defmodule Bench do
  @common [json: :boolean, rounds: :integer, quick: :boolean, all: :boolean]

  ## Options

  @doc "The common options and a script's own as a map; what is no option is in `:rest`."
  def options(argv, own \\ []) do
    Logger.configure(level: :error)
    {given, rest} = OptionParser.parse!(argv, strict: @common ++ own)
    %{json: false, quick: false, all: false, rest: rest} |> Map.merge(Map.new(given))
  end

  @doc "How many rounds: what was asked for, else `normally`, or one where it is to be quick."
  def rounds(opts, normally), do: opts[:rounds] || if(opts.quick, do: 1, else: normally)

  ## Turns

  @doc """
  Measures each of `ways` in every round: `%{way => [result of each round]}`.

  Every other round goes through them backwards, so that none is always measured first and what
  changes on the machine meanwhile meets all alike.
  """
  def in_turn(rounds, ways, measure) do
    for round <- 1..rounds,
        way <- if(rem(round, 2) == 1, do: ways, else: Enum.reverse(ways)),
        reduce: %{} do
      results ->
        result = measure.(way)
        Map.update(results, way, [result], &(&1 ++ [result]))
    end
  end

  ## Statistics

  @doc "The median; the mean of the two in the middle where there are two."
  def median(values), do: (percentile(values, 0.5, :lower) + percentile(values, 0.5, :upper)) / 2

  @doc "The value that a share of all is not above, by the nearest rank."
  def percentile(values, share, rank \\ :upper) do
    place = share * (length(values) - 1)
    place = if rank == :lower, do: floor(place), else: ceil(place)
    values |> Enum.sort() |> Enum.at(place)
  end

  @doc "The median of what `fun` makes of the two values of each round; by default, their ratio."
  def paired(ours, references, fun \\ &(&1 / &2)),
    do: Enum.zip_with(ours, references, fun) |> median()

  @doc """
  What each round measured, to be shown as its median and compared with the last run. `:less` or `:more`
  of it is better. Ratios of turns and CPU time are good figures: what else the machine does is in both
  runs' times by the clock.
  """
  defdelegate figure(rounds, better), to: Bench.Figure, as: :new

  @doc "A figure of the ratios of each round."
  def ratio(ours, references, better \\ :more),
    do: ours |> Enum.zip_with(references, &(&1 / &2)) |> figure(better)

  @doc "`p50`, `p95` and `p99` as a map."
  def percentiles(values),
    do:
      for(
        {name, share} <- [p50: 0.5, p95: 0.95, p99: 0.99],
        into: %{},
        do: {name, percentile(values, share)}
      )

  ## Report

  @doc """
  A table: its title, the columns in order, and a map for each row, which may hold more than is shown.

  A column is `key: "heading"` or `key: {"heading", decimals}`; without decimals, numbers are rounded.
  """
  def table(title, columns, rows), do: %{title: title, columns: columns, rows: rows}

  @doc "Prints tables, and `notes` below them; or with `--json` everything as one line."
  def report(opts, name, tables, notes \\ []) do
    print(opts, name, tables, notes)
    keep(System.get_env("BENCH"), opts, name, tables)
  end

  # A quick run measures too little to be kept.
  defp keep("record", %{quick: false}, name, tables) do
    record = Bench.Record.make()
    Bench.Records.write(Bench.Records.path(record), name, Bench.Records.run(record, tables))
  end

  defp keep("check", _opts, name, tables) do
    record = Bench.Record.make()

    case Bench.Records.read(Bench.Records.path(record)) do
      %{^name => before} ->
        {worse, compared} = Bench.Records.compare(Bench.Records.run(record, tables), before)
        of = "#{before.record.commit} of #{before.record.date}, load #{before.record.load}"

        for line <-
              ["#{name}: #{compared} figures compared with #{of}, #{length(worse)} worse"] ++
                worse,
            do: IO.puts(:stderr, line)

        if worse != [], do: System.halt(1)

      %{} ->
        IO.puts(:stderr, "#{name}: no run on this kind of machine is recorded")
    end
  end

  defp keep(_otherwise, _opts, _name, _tables), do: :ok

  defp print(%{json: true}, name, tables, notes) do
    tables = for table <- tables, do: Map.take(table, [:title, :rows])
    it = %{benchmark: name, record: Bench.Record.make(), tables: tables, notes: notes}
    it |> Bench.Record.json() |> IO.puts()
  end

  defp print(_opts, _name, tables, notes) do
    for table <- tables, do: print(table)
    for note <- notes, do: IO.puts("\n" <> note)
    IO.puts("\n" <> Bench.Record.line())
  end

  defp print(%{title: title, columns: columns, rows: rows}) do
    headings = for {_key, column} <- columns, do: column |> List.wrap() |> heading()
    lines = for row <- rows, do: for({key, column} <- columns, do: cell(row[key], column))

    pads =
      for cells <- Enum.zip_with([headings | lines], & &1) do
        width = cells |> Enum.map(&String.length/1) |> Enum.max()
        # Names are aligned to the left, numbers to the right.
        if Enum.any?(tl(cells), &(&1 =~ ~r/[[:alpha:]]/)),
          do: &String.pad_trailing(&1, width),
          else: &String.pad_leading(&1, width)
      end

    IO.puts("\n#{title}\n")

    for line <- [headings | lines],
        do: line |> Enum.zip_with(pads, & &2.(&1)) |> Enum.join("   ") |> IO.puts()
  end

  defp heading([{text, _decimals}]), do: text
  defp heading([text]), do: text

  defp cell(%Bench.Figure{} = figure, column), do: figure |> Bench.Figure.value() |> cell(column)
  defp cell(nil, _column), do: "-"
  defp cell(text, _column) when is_binary(text) or is_atom(text), do: to_string(text)

  defp cell(number, {_text, decimals}),
    do: :erlang.float_to_binary(number / 1, decimals: decimals)

  defp cell(number, _text), do: number |> round() |> to_string()
end
