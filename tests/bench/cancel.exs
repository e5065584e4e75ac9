# How long from the end of a consumer to the end of its request in the engine?
#
#     mix run tests/bench/cancel.exs [--real] [--busy N] [--streams N] [--json] [--rounds N] [--quick]
#
# The fake engine by default; `--real` takes vLLM on the scripted model. `--rounds` is how many
# requests are ended in each way. `--streams` others run on
# the engine meanwhile, and `--busy N` keeps N processor cores busy with loops of nobody's use, as
# on a machine that has other things to do.
#
# The moment of the cancel is taken in the BEAM, that of the abort in the worker, both by the
# machine's monotonic clock, which they share. What it does not show: EngineCore itself drops the
# request at the end of its step.

Code.require_file("support/bench.exs", __DIR__)

defmodule Cancel do
  alias Vllm.AsyncLLM

  @ways [:kill, :shutdown, :raise, :halt, :cancel, :deadline, :abort]
  @deadline 50
  @columns [
    way: "way",
    p50: {"p50", 2},
    p95: {"p95", 2},
    p99: {"p99", 2},
    max: {"max", 2},
    seen: {"task p50", 2},
    seen_p99: {"task p99", 2}
  ]

  def run(argv) do
    opts = Bench.options(argv, real: :boolean, busy: :integer, streams: :integer)
    rounds = if opts.quick, do: 5, else: Bench.rounds(opts, 100)
    class = if opts[:real], do: "TimedAsyncLLM", else: "TimedFakeAsyncLLM"

    {:ok, instance} =
      Vllm.start_link(
        name: Cancel.Vllm,
        engine_class: "tests.bench.timed_#{if opts[:real], do: "real", else: "fake"}:#{class}",
        env: [{"PYTHONPATH", File.cwd!()}],
        log: :debug
      )

    {:ok, engine} = AsyncLLM.from_engine_args(Cancel.Vllm, arguments(opts[:real]))
    others = for n <- 1..Map.get(opts, :streams, 16)//1, do: background(engine, n)
    for pid <- others, do: receive(do: ({:running, ^pid} -> :ok))
    busy = for _ <- 1..Map.get(opts, :busy, 0)//1, do: busy()

    rows = for way <- @ways, do: way |> measure(engine, rounds) |> row(way)
    for port <- busy, do: stop_busy(port)
    for pid <- others, do: Process.exit(pid, :kill)
    Process.unlink(instance)
    Supervisor.stop(instance, :shutdown, 60_000)
    title = "ms to the abort in the engine, and to the worker's task, #{rounds} times each"
    Bench.report(opts, "cancel", [Bench.table(title, @columns, rows)])
  end

  defp arguments(true) do
    {:ok, model} = Vllm.TinyModel.make(:scripted)

    [model: model, dtype: "float32", enforce_eager: true, max_model_len: 2048] ++
      [max_num_seqs: 256, num_gpu_blocks_override: 2048]
  end

  defp arguments(_fake), do: [model: "fake"]

  defp params do
    fake = %{"fake" => %{"paced" => true, "delay" => 0.005}}
    [max_tokens: 2000, temperature: 0.0, ignore_eos: true, output_kind: :DELTA, extra_args: fake]
  end

  # One request after the other, for ever.
  defp background(engine, n) do
    test = self()

    spawn_link(fn ->
      Process.flag(:trap_exit, false)
      Process.unlink(test)
      send(test, {:running, self()})

      for round <- Stream.iterate(1, &(&1 + 1)) do
        {:ok, stream} = AsyncLLM.generate(engine, "count", params(), "other-#{n}-#{round}")
        Stream.run(stream)
      end
    end)
  end

  # A shell that does nothing, and ends with its stdin.
  defp busy do
    script = "while :; do :; done & trap 'kill $!' EXIT; read line"
    Port.open({:spawn_executable, "/bin/sh"}, [:binary, args: ["-c", script]])
  end

  defp stop_busy(port), do: Port.command(port, "\n")

  ## One cancel after the other

  defp measure(way, engine, rounds) do
    for n <- 1..rounds do
      id = "#{way}-#{n}"
      ended = begin(way, engine, id)
      {:ok, {seen, aborted}} = Vllm.call(engine, "wait_ended_at", [id])
      {(aborted - ended) / 1.0e6, (seen - ended) / 1.0e6}
    end
  end

  # Returns when, in nanoseconds of the machine's clock.
  defp begin(:deadline, engine, id) do
    asked = now()
    # On a busy machine the deadline may come before the engine has accepted the request.
    _stream_or_error = AsyncLLM.generate(engine, "count", params(), id, rpc: [timeout: @deadline])

    asked + @deadline * 1_000_000
  end

  defp begin(:abort, engine, id) do
    {:ok, stream} = AsyncLLM.generate(engine, "count", params(), id)
    task = Task.async(fn -> Stream.run(stream) end)
    ended = now()
    {:ok, nil} = AsyncLLM.abort(engine, id)
    Task.await(task, :infinity)
    ended
  end

  defp begin(:halt, engine, id) do
    {:ok, stream} = AsyncLLM.generate(engine, "count", params(), id)
    [ended] = stream |> Stream.map(fn _ -> now() end) |> Enum.take(1)
    ended
  end

  defp begin(:cancel, engine, id) do
    {:ok, stream} = AsyncLLM.generate(engine, "count", params(), id)
    ended = now()
    Vllm.Stream.cancel(stream)
    ended
  end

  defp begin(way, engine, id) do
    test = self()

    consumer =
      spawn(fn ->
        {:ok, stream} = AsyncLLM.generate(engine, "count", params(), id)

        try do
          Enum.each(stream, fn _ ->
            send(test, {:item, id, now()})
            if way == :raise, do: raise("enough")
          end)
        rescue
          RuntimeError -> :ok
        end
      end)

    receive do
      {:item, ^id, at} when way == :raise ->
        at

      {:item, ^id, _at} ->
        ended = now()
        Process.exit(consumer, way)
        ended
    end
  end

  defp now, do: :os.perf_counter(:nanosecond)

  defp row(times, way) do
    {aborts, seen} = Enum.unzip(times)

    aborts
    |> Bench.percentiles()
    |> Map.merge(%{way: way, max: Enum.max(aborts), seen: Bench.percentile(seen, 0.5)})
    |> Map.put(:seen_p99, Bench.percentile(seen, 0.99))
  end
end

Cancel.run(System.argv())
