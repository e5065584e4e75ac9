# How long from the end of a consumer to the end of its request in the engine?
#
#     mix run tests/bench/cancel.exs [--real] [--busy N] [--rounds N] [--streams N]
#
# The fake engine by default; `--real` takes vLLM on the scripted model. `--streams` others run on
# the engine meanwhile, and `--busy N` keeps N processor cores busy with loops of nobody's use, as
# on a machine that has other things to do.
#
# The moment of the cancel is taken in the BEAM, that of the abort in the worker, both by the
# machine's monotonic clock, which they share. What it does not show: EngineCore itself drops the
# request at the end of its step.

Code.require_file("support/environment.exs", __DIR__)

defmodule Cancel do
  alias Vllm.AsyncLLM

  @ways [:kill, :shutdown, :raise, :halt, :cancel, :deadline, :abort]
  @deadline 50

  def run(argv) do
    {opts, []} =
      OptionParser.parse!(argv,
        strict: [real: :boolean, busy: :integer, rounds: :integer, streams: :integer]
      )

    Logger.configure(level: :error)
    rounds = Keyword.get(opts, :rounds, 100)

    class = if opts[:real], do: "TimedAsyncLLM", else: "TimedFakeAsyncLLM"

    {:ok, instance} =
      Vllm.start_link(
        name: Cancel.Vllm,
        engine_class: "tests.bench.timed_#{if opts[:real], do: "real", else: "fake"}:#{class}",
        env: [{"PYTHONPATH", File.cwd!()}],
        log: :debug
      )

    {:ok, engine} = AsyncLLM.from_engine_args(Cancel.Vllm, arguments(opts[:real]))
    others = for n <- 1..Keyword.get(opts, :streams, 16)//1, do: background(engine, n)
    for pid <- others, do: receive(do: ({:running, ^pid} -> :ok))
    busy = for _ <- 1..Keyword.get(opts, :busy, 0)//1, do: busy()

    IO.puts(
      "way        n    p50 ms   p95 ms   p99 ms   max ms   | to the worker's task p50   p99"
    )

    for way <- @ways, do: way |> measure(engine, rounds) |> report(way)
    for port <- busy, do: stop_busy(port)
    for pid <- others, do: Process.exit(pid, :kill)
    Process.unlink(instance)
    Supervisor.stop(instance, :shutdown, 60_000)
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

  defp report(times, way) do
    {aborts, seen} = Enum.unzip(times)
    [a, s] = Enum.map([aborts, seen], &Enum.sort/1)

    IO.puts(
      :io_lib.format("~-9s ~4B ~8.2f ~8.2f ~8.2f ~8.2f   | ~24.2f ~8.2f", [
        "#{way}",
        length(a),
        at(a, 0.5),
        at(a, 0.95),
        at(a, 0.99),
        List.last(a),
        at(s, 0.5),
        at(s, 0.99)
      ])
    )
  end

  defp at(sorted, share),
    do: Enum.at(sorted, min(trunc(length(sorted) * share), length(sorted) - 1))
end

Cancel.run(System.argv())
