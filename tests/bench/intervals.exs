# What do several tokens an item save, and what do they cost?
#
#     mix run tests/bench/intervals.exs [MODEL] [--streams 64] [--json] [--rounds N] [--quick]
#
# vLLM's `stream_interval` in the parameters of a request, from Elixir and in process, by turns on one
# free engine (support/free_engine.py) at a rate that all can carry. The CPU is that of whole processes.
# An item then comes with its last token: the first of its tokens has waited for the others, which is
# the column "waited" at that rate. The first item has one token and waits for nothing.

Code.require_file("support/cost.exs", __DIR__)

defmodule Intervals do
  alias Bench.{Cost, Measured}

  @intervals [1, 4, 16]
  @tokens 128
  @rate 8_000
  @columns [
    interval: "stream_interval",
    items: "items a stream",
    in_process: {"in process, µs", 1},
    worker: {"worker, µs", 1},
    beam: {"BEAM, µs", 1},
    waited: "waited, ms"
  ]

  def run(argv) do
    opts = Bench.options(argv, streams: :integer)
    streams = Map.get(opts, :streams, 64)

    rows =
      Cost.with_rate(fn file, env ->
        Cost.with_engine(opts, env, fn engine ->
          Cost.set_rate(file, @rate)
          measure(engine, streams, Bench.rounds(opts, 3))
        end)
      end)

    title = "CPU for a token of #{streams} streams at #{@rate} tokens/s, DELTA"
    Bench.report(opts, "intervals", [Bench.table(title, @columns, rows)])
  end

  defp measure(engine, streams, rounds) do
    processes = Cost.processes(Measured.worker(), System.pid())
    turns = for interval <- @intervals, way <- [:in_process, :elixir], do: {way, interval}

    results =
      Bench.in_turn(rounds, turns, fn {way, interval} ->
        params = Measured.params(@tokens, stream_interval: interval)

        Cost.measure(processes, streams * @tokens, fn ->
          Measured.speed_and_outputs(way, engine, "hello world", params, streams, 1)
        end)
      end)

    for interval <- @intervals do
      [alone, ours] = for way <- [:in_process, :elixir], do: results[{way, interval}]

      %{
        interval: interval,
        items: Bench.median(for {_costs, {_rate, outputs}} <- ours, do: outputs / streams),
        in_process: Bench.median(each(alone, :front)),
        worker: Bench.figure(each(ours, :front), :less),
        beam: Bench.figure(each(ours, :client), :less),
        waited: (interval - 1) * streams * 1000 / @rate
      }
    end
  end

  defp each(rounds, part), do: for({costs, _result} <- rounds, do: costs[part])
end

Intervals.run(System.argv())
