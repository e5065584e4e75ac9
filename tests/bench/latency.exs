# What does the way through Elixir add to a single stream and to a single call?
#
#     mix run tests/bench/latency.exs [MODEL] [--realtime] [--json] [--rounds N] [--quick]
#
# One engine, idle but for one request at a time, asked in its own process and from Elixir by turns:
# the time to the first output, and from one output to the next. Then a control call that has nothing
# to do (`is_running`), beside the least that gRPC takes in Python: an echo of grpc.aio, client and
# server in two processes of their own (echo.py).
#
# Less from one to the next than in process means that the first came late. On two cores it does: while
# it generates, vLLM keeps both busy, with two processes that wait for one another in loops, and Linux
# lets the BEAM, which is of another session, run when they are done. `--realtime` (for root) shows the
# bridge without that: the BEAM and the worker's own process go before vLLM's, in both measurements.
#
# What it does not show: a busy engine, where a stream waits for the engine's step and not for us.

Code.require_file("support/measured.exs", __DIR__)

defmodule Latency do
  alias Bench.Measured

  @tokens 128
  @requests 10
  @calls 1_000
  @prompt "hello world"

  def run(argv) do
    opts = Bench.options(argv, realtime: :boolean)
    rounds = Bench.rounds(opts, 8)

    {streams, calls} =
      Measured.with_engine(opts, fn engine ->
        if opts[:realtime], do: go_first([System.pid(), "#{Measured.worker()}"])
        {measure_streams(engine, rounds), measure_calls(engine, rounds)}
      end)

    Bench.report(opts, "latency", [streams, calls])
  end

  defp go_first(pids) do
    for pid <- pids, do: {_, 0} = System.cmd("chrt", ["--all-tasks", "--rr", "--pid", "5", pid])
  end

  ## Streams

  defp measure_streams(engine, rounds) do
    params = Measured.params(@tokens)
    once = fn way -> Measured.times(way, engine, @prompt, params) end
    for way <- [:in_process, :elixir], do: once.(way)

    # One request each by turns, so that what the machine does meanwhile meets both.
    results = Bench.in_turn(rounds * @requests, [:in_process, :elixir], once)

    rows =
      for {key, name, goal} <- [
            {:first_ms, "to the first output", 0.5},
            {:next_ms, "from one to the next", 0.1},
            {:last_ms, "to the last output", nil}
          ] do
        [reference, ours] =
          for way <- [:in_process, :elixir], do: Enum.map(results[way], & &1[key])

        %{
          what: name,
          goal: goal,
          in_process: Bench.median(reference),
          elixir: Bench.median(ours),
          added: Bench.paired(ours, reference, &(&1 - &2)),
          in_process_p95: Bench.percentile(reference, 0.95),
          elixir_p95: Bench.percentile(ours, 0.95)
        }
      end

    columns = [
      what: "ms",
      in_process: {"in process", 3},
      elixir: {"through Elixir", 3},
      added: {"added", 3},
      goal: {"goal", 1},
      in_process_p95: {"in process p95", 3},
      elixir_p95: {"through Elixir p95", 3}
    ]

    Bench.table(
      "one stream of #{@tokens} tokens, DELTA, #{rounds * @requests} times",
      columns,
      rows
    )
  end

  ## Calls

  defp measure_calls(engine, rounds) do
    {:ok, python} = Vllm.Environment.python()
    echo = Bench.Lines.open(python, ["-m", "tests.bench.echo"])
    "ready" = Bench.Lines.read(echo)

    once = fn
      :elixir ->
        for _ <- 1..@calls do
          {nanoseconds, {:ok, true}} = timed(fn -> Vllm.AsyncLLM.is_running(engine) end)
          nanoseconds / 1000
        end

      :reference ->
        for _ <- 1..@calls do
          {nanoseconds, {:ok, config}} = timed(fn -> Vllm.AsyncLLM.vllm_config(engine) end)
          Vllm.release(config)
          nanoseconds / 1000
        end

      :echo ->
        Bench.Lines.write(echo, "#{@calls}")
        echo |> Bench.Lines.read() |> String.split() |> Enum.map(&String.to_float/1)
    end

    ways = [:elixir, :reference, :echo]
    for way <- ways, do: once.(way)
    results = Bench.in_turn(rounds, ways, once)
    Bench.Lines.close(echo)

    rows =
      for {way, name, goal} <- [
            {:elixir, "is_running from Elixir", 100},
            {:reference, "vllm_config from Elixir, a reference", nil},
            {:echo, "echo of grpc.aio, Python to Python", nil}
          ] do
        times = results[way] |> List.flatten() |> Bench.percentiles()
        Map.merge(times, %{what: name, goal: goal})
      end

    columns = [what: "µs", p50: "p50", goal: "goal", p95: "p95", p99: "p99"]
    Bench.table("one call after the other, #{rounds * @calls} times", columns, rows)
  end

  defp timed(fun) do
    began = System.monotonic_time(:nanosecond)
    result = fun.()
    {System.monotonic_time(:nanosecond) - began, result}
  end
end

Latency.run(System.argv())
