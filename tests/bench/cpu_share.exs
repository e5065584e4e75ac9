# Which nice value should the worker's session have, where Linux divides the CPU among sessions?
#
#     mix run tests/bench/cpu_share.exs [MODEL] [--nice 0,5,10,19] [--streams 1,16,64] [--json]
#                                       [--rounds N] [--quick] [--all]
#
# One worker, one engine. The nice value of the worker's session (autogroup) is changed from outside,
# so every turn is of the same engine: each round goes through all values, every other round backwards.
# A turn asks for so many streams at once, through Elixir and in process. The first table shows when
# the first output of a stream came, and tokens per second. `last` is the share of streams whose first
# output came in the last tenth of their time: the client was given no CPU before.
#
# The second table (`--all`) is what it costs beside another busy session: one that counts, with a process
# for each core. It shows how much both do of what each does alone.
#
# On a machine without autogroups, or in a control group with a CPU weight, all values are alike: the
# note below the tables says whether they mean anything.

Code.require_file("support/measured.exs", __DIR__)

defmodule CpuShare do
  alias Bench.{Lines, Measured}

  @tokens 128
  @prompt "hello world"
  # A turn of one stream is short: it is repeated, so that a p95 has something to stand on.
  @requests 12

  # Counts for a second after each line that it reads, on every core. As a program that the BEAM has
  # started it has a session of its own.
  @counter """
  import multiprocessing, os, sys, time
  def count(_):
      end, n = time.monotonic() + 1.0, 0
      while time.monotonic() < end:
          n += 1
      return n
  cores = len(os.sched_getaffinity(0))
  with multiprocessing.get_context("fork").Pool(cores) as pool:
      print("ready", flush=True)
      for line in sys.stdin:
          print(sum(pool.map(count, range(cores), chunksize=1)), flush=True)
  """

  def run(argv) do
    opts = Bench.options(argv, nice: :string, streams: :string)
    values = numbers(opts[:nice] || "0,5,10,19")
    streams = numbers(opts[:streams] || "1,16,64")
    rounds = Bench.rounds(opts, 5)

    tables =
      Measured.with_engine(opts, fn engine ->
        first = first_outputs(engine, values, streams, rounds)
        if opts.all, do: [first, beside(engine, values, rounds)], else: [first]
      end)

    Bench.report(opts, "cpu_share", tables, [note()])
  end

  defp numbers(text), do: text |> String.split(",") |> Enum.map(&String.to_integer/1)

  ## When the first output comes

  @columns [
    streams: "streams",
    nice: "nice",
    first: {"first, ms", 1},
    first_p95: {"p95", 1},
    in_process: {"in process", 1},
    in_process_p95: {"p95", 1},
    late: {"last %", 1},
    rate: "tokens/s",
    ratio: {"of in process", 2}
  ]

  defp first_outputs(engine, values, streams, rounds) do
    turns = for count <- streams, nice <- values, do: {nice, count}
    # What is compiled or cached at the first request of its kind is not measured.
    for count <- streams, way <- [:elixir, :in_process], do: at_once(way, engine, count)

    results =
      Bench.in_turn(rounds, turns, fn {nice, count} ->
        set_nice(nice)
        times = max(1, div(@requests, count))
        for _ <- 1..times, way <- [:elixir, :in_process], do: {way, at_once(way, engine, count)}
      end)

    rows = for {nice, count} = turn <- turns, do: row(nice, count, results[turn])
    Bench.table("first outputs, #{@tokens} tokens, DELTA, #{rounds} rounds", @columns, rows)
  end

  defp row(nice, streams, rounds) do
    [ours, reference] =
      for way <- [:elixir, :in_process],
          do: for({^way, {times, _rate}} <- List.flatten(rounds), time <- times, do: time)

    rates =
      for round <- rounds do
        for way <- [:elixir, :in_process],
            do: Bench.median(for {^way, {_times, rate}} <- round, do: rate)
      end

    %{
      streams: streams,
      nice: nice,
      first: Bench.median(firsts(ours)),
      first_p95: Bench.percentile(firsts(ours), 0.95),
      in_process: Bench.median(firsts(reference)),
      in_process_p95: Bench.percentile(firsts(reference), 0.95),
      late: 100 * Enum.count(ours, &(&1.first_ms > 0.9 * &1.last_ms)) / length(ours),
      rate: rates |> Enum.map(&hd/1) |> Bench.median(),
      ratio: rates |> Enum.map(fn [ours, reference] -> ours / reference end) |> Bench.median()
    }
  end

  defp firsts(times), do: Enum.map(times, & &1.first_ms)

  defp at_once(way, engine, count),
    do: Measured.at_once(way, engine, @prompt, Measured.params(@tokens), count)

  ## Beside another busy session

  @beside_columns [
    nice: "nice",
    ours: {"tokens/s, of alone", 2},
    other: {"the other session, of alone", 2},
    first_p95: {"first p95, ms", 1}
  ]

  # As many streams as keep the engine busy for more than the second in which the other one counts.
  @beside_streams 16

  defp beside(engine, values, rounds) do
    {:ok, python} = Vllm.Environment.python()
    counter = Lines.open(python, ["-c", @counter])
    "ready" = Lines.read(counter)

    alone = for _ <- 1..max(rounds, 2), do: counted(counter, fn -> nil end)
    ours_alone = for _ <- 1..max(rounds, 2), do: while_busy(engine)

    results =
      Bench.in_turn(rounds, values, fn nice ->
        set_nice(nice)
        counted(counter, fn -> while_busy(engine) end)
      end)

    Lines.close(counter)
    count_alone = alone |> Enum.map(&elem(&1, 0)) |> Bench.median()
    rate_alone = ours_alone |> Enum.map(&elem(&1, 0)) |> Bench.median()

    rows =
      for nice <- values do
        {counts, ours} = Enum.unzip(results[nice])

        %{
          nice: nice,
          ours: (ours |> Enum.map(&elem(&1, 0)) |> Bench.median()) / rate_alone,
          other: Bench.median(counts) / count_alone,
          first_p95: ours |> Enum.flat_map(&elem(&1, 1)) |> Bench.percentile(0.95)
        }
      end

    Bench.table(
      "beside a session that is busy on every core, #{@beside_streams} streams, #{rounds} rounds",
      @beside_columns,
      rows
    )
  end

  # What the other session counted in a second, and what `fun` returned, which began with it.
  defp counted(counter, fun) do
    Lines.write(counter, "")
    result = fun.()
    {counter |> Lines.read() |> String.to_integer(), result}
  end

  # Streams for about a second: tokens per second within it, and when each first output came.
  defp while_busy(engine) do
    params = Measured.params(@tokens)
    until = now() + 1_000_000_000

    results =
      1..@beside_streams
      |> Enum.map(fn _ -> Task.async(fn -> repeat(engine, params, until, {0, []}) end) end)
      |> Task.await_many(:infinity)

    {results |> Enum.map(&elem(&1, 0)) |> Enum.sum(), Enum.flat_map(results, &elem(&1, 1))}
  end

  defp repeat(engine, params, until, {tokens, firsts}) do
    began = now()
    {:ok, stream} = Vllm.AsyncLLM.generate(engine, @prompt, params, "beside")

    {in_time, first} =
      Enum.reduce(stream, {0, nil}, fn output, {count, first} ->
        at = now()
        new = output.outputs |> Enum.map(&length(&1.token_ids)) |> Enum.sum()
        {if(at <= until, do: count + new, else: count), first || at}
      end)

    done = {tokens + in_time, [(first - began) / 1.0e6 | firsts]}
    if now() < until, do: repeat(engine, params, until, done), else: done
  end

  defp now, do: System.monotonic_time(:nanosecond)

  ## The machine

  # Linux takes one change in a tenth of a second from a user who is not root.
  defp set_nice(nice, attempts \\ 20) do
    case File.write("/proc/#{Measured.worker()}/autogroup", "#{nice}") do
      :ok ->
        :ok

      {:error, :enoent} ->
        :ok

      {:error, :eagain} when attempts > 0 ->
        Process.sleep(20)
        set_nice(nice, attempts - 1)

      {:error, reason} ->
        raise "the nice value of the worker's session cannot be set to #{nice}: #{reason}"
    end
  end

  defp note do
    case File.read("/proc/sys/kernel/sched_autogroup_enabled") do
      {:ok, "1" <> _} -> "Linux divides the CPU of this machine among sessions (autogroup is on)."
      _off -> "Autogroup is off or not there: the nice value of a session changes nothing."
    end
  end
end

CpuShare.run(System.argv())
