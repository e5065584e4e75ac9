# How fast are streams through Elixir, beside the same engine called in process?
#
#     mix run tests/bench/throughput.exs [MODEL] [--kind CUMULATIVE] [--all] [--stats] [--json] [--rounds N] [--quick]
#
# One worker, one engine. Each round measures the engine inside of its own process and the same
# requests from Elixir, at each number of streams; the table shows medians over the rounds and the
# median of the ratios. A warm-up round is not counted. `--kind` is the output kind, DELTA unless
# told; `--all` measures all three. `--stats` leaves vLLM its statistics, as they are by default: each
# output then has its metrics, which change with every token and are sent with it.
#
# What it does not show: a model of any real size. The tiny model makes the engine as fast as it
# can be, so the bridge's share is as large as it can be.

Code.require_file("support/measured.exs", __DIR__)

defmodule Throughput do
  alias Bench.Measured

  # How many streams, and how often in a row: a single one is over in 0.2 s.
  @streams [{1, 4}, {16, 2}, {64, 1}, {256, 1}]
  @tokens 128
  @prompt "hello world"
  @columns [
    streams: "streams",
    in_process: "in process",
    elixir: "through Elixir",
    ratio: {"ratio", 2}
  ]

  def run(argv) do
    opts = Bench.options(argv, kind: :string, stats: :boolean)

    tables =
      Measured.with_engine(opts, [disable_log_stats: !opts[:stats]], fn engine ->
        for kind <- kinds(opts), do: measure(engine, kind, Bench.rounds(opts, 5))
      end)

    Bench.report(opts, "throughput", tables)
  end

  defp kinds(%{all: true}), do: [:DELTA, :CUMULATIVE, :FINAL_ONLY]
  defp kinds(opts), do: [opts |> Map.get(:kind, "DELTA") |> String.to_existing_atom()]

  defp measure(engine, kind, rounds) do
    params = Measured.params(@tokens, output_kind: kind)

    turns =
      for {streams, times} <- @streams, way <- [:in_process, :elixir], do: {way, streams, times}

    speed = fn {way, streams, times} ->
      Measured.speed(way, engine, @prompt, params, streams, times)
    end

    Enum.each(turns, speed)
    results = Bench.in_turn(rounds, turns, speed)

    rows =
      for {streams, times} <- @streams do
        [reference, ours] = for way <- [:in_process, :elixir], do: results[{way, streams, times}]

        %{
          streams: streams,
          in_process: Bench.median(reference),
          elixir: Bench.median(ours),
          ratio: Bench.ratio(ours, reference)
        }
      end

    Bench.table("tokens/s, #{kind}, #{@tokens} tokens each, greedy", @columns, rows)
  end
end

Throughput.run(System.argv())
