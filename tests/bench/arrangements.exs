# What does it cost how a machine divides its CPU between the BEAM, the worker and others?
#
#     mix run tests/bench/arrangements.exs [MODEL] [--json] [--rounds N] [--quick]
#
# One worker, one engine, which are moved from one arrangement to the next while they run. In each,
# requests are sent one at a time, then 16 at once, through Elixir and in process, by turns. In process
# they are the worker's own: with its nice value, and in its control group.
#
# It takes root; what cannot be set is named below the table.

for file <- ~w(measured arrangements), do: Code.require_file("support/#{file}.exs", __DIR__)

defmodule Arrangements do
  alias Bench.{Arrangements, Measured}

  @tokens 128
  @prompt "hello world"
  @single 10
  @streams 16

  @columns [
    arrangement: "arrangement",
    first: {"first output, ms: p50", 1},
    first_p95: {"p95", 1},
    first_p99: {"p99", 1},
    reference: {"in process: p50", 1},
    reference_p95: {"p95", 1},
    reference_p99: {"p99", 1},
    rate: "tokens/s of #{@streams}",
    ratio: {"of in process", 2}
  ]

  def run(argv) do
    opts = Bench.options(argv)
    rounds = Bench.rounds(opts, 5)
    {names, missing} = Enum.split_with(names(), &(Arrangements.missing(&1) == nil))

    rows =
      Measured.with_engine(opts, fn engine ->
        both(engine, 1)
        both(engine, @streams)

        results =
          Bench.in_turn(rounds, names, fn name ->
            Arrangements.within(name, Measured.worker(), fn ->
              {for(_ <- 1..@single, do: both(engine, 1)), both(engine, @streams)}
            end)
          end)

        for name <- names, do: row(name, results[name])
      end)

    title = "first outputs of single requests, tokens/s of #{@streams}, #{rounds} rounds"
    notes = for name <- missing, do: "not measured: #{name}, #{Arrangements.missing(name)}"
    what = for {name, what} <- Arrangements.all(), do: "  #{name}: #{what}"
    Bench.report(opts, "arrangements", [Bench.table(title, @columns, rows)], notes ++ what)
  end

  defp names, do: for({name, _what} <- Arrangements.all(), do: name)

  # The times of each stream, and the tokens per second of all: through Elixir, then in process.
  defp both(engine, streams) do
    for way <- [:elixir, :in_process],
        do: Measured.at_once(way, engine, @prompt, Measured.params(@tokens), streams)
  end

  defp row(name, rounds) do
    {single, many} = Enum.unzip(rounds)

    [ours, reference] =
      for turns <- single |> Enum.concat() |> Enum.zip_with(& &1),
          do: for({times, _rate} <- turns, %{first_ms: first} <- times, do: first)

    [rates, rates_in_process] =
      for turns <- Enum.zip_with(many, & &1), do: for({_times, rate} <- turns, do: rate)

    %{
      arrangement: name,
      first: Bench.median(ours),
      first_p95: Bench.percentile(ours, 0.95),
      first_p99: Bench.percentile(ours, 0.99),
      reference: Bench.median(reference),
      reference_p95: Bench.percentile(reference, 0.95),
      reference_p99: Bench.percentile(reference, 0.99),
      rate: Bench.median(rates),
      ratio: Bench.ratio(rates, rates_in_process)
    }
  end
end

Arrangements.run(System.argv())
