# What does telemetry cost where nobody listens, in nanoseconds?
#
#     mix run --no-start tests/bench/telemetry.exs [--json] [--rounds N] [--quick]

Code.require_file("support/bench.exs", __DIR__)

defmodule Telemetry do
  alias Vllm.Core.Telemetry.{Meter, Trace}

  @times 1_000_000

  @measured [
    {"an empty loop", :nothing},
    {"an item of a stream", :item},
    {"the start of a stream, or a call", :start},
    {"a request: is there a trace?", :trace}
  ]

  def run(argv) do
    opts = Bench.options(argv)
    times = if opts.quick, do: 1_000, else: @times
    for {_name, what} <- @measured, do: loop(what, div(times, 10))

    results =
      Bench.in_turn(Bench.rounds(opts, 5), @measured, fn {_name, what} ->
        {microseconds, :ok} = :timer.tc(fn -> loop(what, times) end)
        microseconds * 1000 / times
      end)

    rows = for {name, _} = it <- @measured, do: %{what: name, ns: Bench.median(results[it])}
    Bench.report(opts, "telemetry", [Bench.table("Each", [what: "", ns: {"ns", 1}], rows)])
  end

  defp loop(_what, 0), do: :ok

  defp loop(what, times) do
    measure(what)
    loop(what, times - 1)
  end

  defp measure(:nothing), do: :ok
  defp measure(:item), do: Meter.item(nil)
  defp measure(:start), do: Vllm.Core.Telemetry.Emitter.loaded?()
  defp measure(:trace), do: Trace.headers()
end

Telemetry.run(System.argv())
