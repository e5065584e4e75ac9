# What telemetry costs where nobody listens: nanoseconds for each item of a stream, each call and each
# request. Run with
#
#     mix run --no-start tests/bench/telemetry.exs

alias Vllm.Telemetry
alias Vllm.Telemetry.{Meter, Trace}

rounds = 2_000_000

measure = fn name, fun ->
  loop = fn loop, n ->
    if n > 0,
      do:
        (
          fun.()
          loop.(loop, n - 1)
        ),
      else: :ok
  end

  loop.(loop, div(rounds, 10))
  {microseconds, :ok} = :timer.tc(fn -> loop.(loop, rounds) end)
  IO.puts("#{String.pad_trailing(name, 44)} #{Float.round(microseconds * 1000 / rounds, 1)} ns")
end

measure.("an empty loop", fn -> :ok end)
measure.("an item of a stream", fn -> Meter.item(nil) end)
measure.("the start of a stream, or a call", fn -> Telemetry.loaded?() end)
measure.("a request: is there a trace?", fn -> Trace.headers() end)
