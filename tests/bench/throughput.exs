# How fast is a stream through Elixir, beside the same engine called in process?
#
#     mix run tests/bench/throughput.exs [MODEL] [--json] [--rounds N]
#
# One worker, one engine. Each round measures the engine inside of its own process and then the
# same requests from Elixir, at each number of streams; the table shows medians over the rounds
# and the median of the ratios. A warm-up round is not counted.
#
# What it does not show: a model of any real size. The tiny model makes the engine as fast as it
# can be, so the bridge's share is as large as it can be.

defmodule Throughput do
  @streams [1, 16, 64, 256]
  @tokens 128
  @prompt "hello world"
  @calls 2_000

  def run(argv) do
    {opts, models} = OptionParser.parse!(argv, strict: [json: :boolean, rounds: :integer])
    Logger.configure(level: :error)
    model = List.first(models) || make_model()
    rounds = Keyword.get(opts, :rounds, 3)

    # Without it vLLM takes nine tenths of the memory for its cache, or does not start.
    unless System.get_env("VLLM_CPU_KVCACHE_SPACE"),
      do: System.put_env("VLLM_CPU_KVCACHE_SPACE", "1")

    {:ok, instance} =
      Vllm.start_link(
        name: Throughput.Vllm,
        engine_class: "tests.bench.measured_engine:MeasuredAsyncLLM",
        env: [{"PYTHONPATH", File.cwd!()}],
        log: :debug
      )

    {:ok, engine} =
      Vllm.AsyncLLM.from_engine_args(Throughput.Vllm,
        model: model,
        dtype: "float32",
        enforce_eager: true,
        max_model_len: 512,
        max_num_seqs: 256,
        disable_log_stats: true
      )

    measure_round(engine)
    rows = for _ <- 1..rounds, do: measure_round(engine)
    control = control_call(engine)
    {:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
    Supervisor.stop(instance)
    report(rows, control, opts)
  end

  defp make_model do
    {:ok, model} = Vllm.TinyModel.make(:random)
    model
  end

  defp measure_round(engine) do
    for streams <- @streams, into: %{} do
      {streams, {in_process(engine, streams), through_elixir(engine, streams)}}
    end
  end

  defp params,
    do: %Vllm.SamplingParams{
      max_tokens: @tokens,
      temperature: 0.0,
      ignore_eos: true,
      output_kind: :DELTA
    }

  defp in_process(engine, streams) do
    {:ok, {tokens, seconds}} =
      Vllm.call(engine, :generate_in_process, [@prompt, params(), streams],
        rpc: [timeout: :infinity]
      )

    ^tokens = streams * @tokens
    tokens / seconds
  end

  defp through_elixir(engine, streams) do
    {microseconds, tokens} =
      :timer.tc(fn ->
        1..streams
        |> Enum.map(fn index -> Task.async(fn -> count_tokens(engine, index) end) end)
        |> Task.await_many(:infinity)
        |> Enum.sum()
      end)

    ^tokens = streams * @tokens
    tokens / microseconds * 1_000_000
  end

  defp count_tokens(engine, index) do
    {:ok, stream} = Vllm.AsyncLLM.generate(engine, @prompt, params(), "elixir-#{index}")

    Enum.reduce(stream, 0, fn output, tokens ->
      Enum.reduce(output.outputs, tokens, &(&2 + length(&1.token_ids)))
    end)
  end

  defp control_call(engine) do
    times =
      for _ <- 1..@calls do
        {microseconds, {:ok, true}} = :timer.tc(fn -> Vllm.AsyncLLM.is_running(engine) end)
        microseconds
      end

    Enum.sort(times)
  end

  defp report(rows, control, opts) do
    table =
      for streams <- @streams do
        pairs = Enum.map(rows, & &1[streams])

        %{
          streams: streams,
          in_process: median(Enum.map(pairs, &elem(&1, 0))),
          elixir: median(Enum.map(pairs, &elem(&1, 1))),
          ratio: median(Enum.map(pairs, fn {reference, ours} -> ours / reference end))
        }
      end

    p = fn share -> Enum.at(control, round(share * (length(control) - 1))) end
    calls = %{p50: p.(0.5), p95: p.(0.95), p99: p.(0.99)}
    if opts[:json], do: print_json(table, calls), else: print_table(table, calls)
  end

  defp print_table(table, calls) do
    IO.puts("#{@tokens} tokens, greedy, DELTA, on #{System.schedulers_online()} cores\n")
    IO.puts("streams   in process   through Elixir   ratio   (tokens/s)")

    for row <- table do
      IO.puts(
        pad(row.streams, 7) <>
          pad(round(row.in_process), 13) <>
          pad(round(row.elixir), 17) <>
          pad(:erlang.float_to_binary(row.ratio, decimals: 2), 8)
      )
    end

    IO.puts("\ncontrol call: p50 #{calls.p50} µs, p95 #{calls.p95} µs, p99 #{calls.p99} µs")
  end

  defp print_json(table, calls) do
    rows =
      Enum.map_join(table, ", ", fn row ->
        ~s({"streams": #{row.streams}, "in_process": #{row.in_process}, ) <>
          ~s("elixir": #{row.elixir}, "ratio": #{row.ratio}})
      end)

    IO.puts(
      ~s({"cores": #{System.schedulers_online()}, "tokens_per_s": [#{rows}], ) <>
        ~s("control_call_us": {"p50": #{calls.p50}, "p95": #{calls.p95}, "p99": #{calls.p99}}})
    )
  end

  defp median(values), do: values |> Enum.sort() |> Enum.at(div(length(values), 2))
  defp pad(value, width), do: value |> to_string() |> String.pad_leading(width)
end

Throughput.run(System.argv())
