# What do the events of telemetry cost a request and a token, and what a handler that records them under
# OpenTelemetry's names?
#
#     mix run tests/bench/gen_ai.exs [--json] [--rounds N] [--quick] [--all]
#
# By turns: without `:telemetry`; with it and no handler; with one that does nothing; and with one that
# makes what `Vllm.Telemetry.GenAI.recordings/3` says, and gives it to nobody. `:telemetry` is a stand-in that
# looks its handlers up in a table and calls them, as the library does.
#
# The client's own functions alone, called as a request calls them, in CPU time of the BEAM. With --all also
# requests of a free engine (free_engine.py) with vLLM's statistics, from which the tokens and the engine's
# times come: what the BEAM needs for each request of one token and for each further token, of which
# telemetry is a small part.

Code.require_file("support/cost.exs", __DIR__)

defmodule GenAI do
  alias Bench.{Cost, Measured, Processes}
  alias Vllm.{AsyncLLM, CompletionOutput, Ref, RequestOutput, RequestStateStats}
  alias Vllm.Core.Telemetry.{CallSpan, Meter, Models}
  alias Vllm.Telemetry

  @ways [
    absent: "no :telemetry",
    unheard: "no handler",
    ignored: "handler does nothing",
    recorded: "handler records"
  ]

  @tokens 129
  @at_once 16
  # Tokens per second: with no more, each token is an item of its own.
  @rate 16_000

  def run(argv) do
    opts = Bench.options(argv)
    rounds = Bench.rounds(opts, 9)
    of_engine = if opts.all, do: [requests(opts, rounds)], else: []
    Bench.report(opts, "gen_ai", [alone(opts, rounds) | of_engine])
  end

  ## The client's functions alone

  defp alone(opts, rounds) do
    times = if opts.quick, do: 100, else: 20_000
    ref = %Ref{instance: :bench, incarnation: "1", id: 1, type: "AsyncLLM"}
    Models.put(ref, "bench")
    of_call = %{instance: :bench, class: "AsyncLLM", method: "generate", ref: ref}
    of_stream = Map.put(of_call, :request_id, "r1")
    last = last()

    measured = %{
      "a request, µs" =>
        {1000, fn -> request(of_call, of_stream, last) end, fn request -> request.() end},
      "a token, ns" =>
        {1,
         fn ->
           meter = Meter.start(nil, of_stream)
           fn -> Meter.item(meter) end
         end, fn item -> for _ <- 1..100, do: item.() end}
    }

    rows =
      for {what, {unit, prepare, measure}} <- measured do
        results =
          Bench.in_turn(rounds, Keyword.keys(@ways), fn way ->
            attached(way, fn ->
              run = prepare.()
              for _ <- 1..div(times, 10), do: measure.(run)
              before = Processes.cpu_ns(System.pid())
              repeat(times, fn -> measure.(run) end)
              each = if unit == 1, do: 100, else: 1
              (Processes.cpu_ns(System.pid()) - before) / times / each / unit
            end)
          end)

        Map.new(results, fn {way, rounds} -> {way, Bench.figure(rounds, :less)} end)
        |> Map.put(:what, what)
      end

    columns = [what: "of the client alone"] ++ for({way, text} <- @ways, do: {way, {text, 1}})
    Bench.table("CPU time of telemetry", columns, rows)
  end

  defp request(of_call, of_stream, last) do
    fn ->
      CallSpan.run(of_call, fn -> {:ok, nil} end)
      meter = Meter.start(System.monotonic_time(), of_stream)
      Meter.item(meter)
      Meter.stop(meter, :ok, last)
    end
  end

  defp repeat(0, _fun), do: :ok

  defp repeat(times, fun) do
    fun.()
    repeat(times - 1, fun)
  end

  # As an engine with statistics ends a stream of DELTA items.
  defp last do
    times = %RequestStateStats{
      num_generation_tokens: @tokens,
      first_token_latency: 0.01,
      first_token_ts: 1.0,
      last_token_ts: 2.0
    }

    completion = %CompletionOutput{
      index: 0,
      text: "x",
      token_ids: [1],
      cumulative_logprob: nil,
      logprobs: nil,
      finish_reason: "length"
    }

    %RequestOutput{
      request_id: "r1",
      prompt_token_ids: Enum.to_list(1..16),
      outputs: [completion],
      finished: true,
      metrics: times
    }
  end

  ## Requests of an engine

  defp requests(opts, rounds) do
    {short, long} = if opts.quick, do: {32, 16}, else: {320, 64}

    Cost.with_rate(fn file, env ->
      Cost.set_rate(file, @rate)

      # Statistics are what vLLM has by default.
      Measured.with_engine(opts, [disable_log_stats: false] ++ Cost.arguments(), env, fn engine ->
        measure = fn way ->
          attached(way, fn ->
            request = cpu_us(engine, short, 1) / short
            token = (cpu_us(engine, long, @tokens) / long - request) / (@tokens - 1)
            {request, token}
          end)
        end

        for {way, _text} <- @ways, do: measure.(way)
        Bench.in_turn(rounds, Keyword.keys(@ways), measure) |> table()
      end)
    end)
  end

  # The CPU time of the BEAM for so many requests.
  defp cpu_us(engine, requests, tokens) do
    params = Measured.params(tokens)
    before = Processes.cpu_ns(System.pid())

    1..@at_once
    |> Enum.map(fn n ->
      Task.async(fn ->
        for i <- 1..div(requests, @at_once) do
          {:ok, stream} = AsyncLLM.generate(engine, "hello world", params, "r-#{n}-#{i}")
          Enum.each(stream, fn _item -> :ok end)
        end
      end)
    end)
    |> Task.await_many(:infinity)

    (Processes.cpu_ns(System.pid()) - before) / 1000
  end

  defp table(results) do
    rows =
      for {what, of} <- [{"a request of one token, µs", 0}, {"a further token, µs", 1}] do
        for {way, _text} <- @ways,
            into: %{what: what},
            do: {way, results[way] |> Enum.map(&elem(&1, of)) |> Bench.figure(:less)}
      end

    columns = [what: "CPU of the BEAM"] ++ for({way, text} <- @ways, do: {way, {text, 1}})
    Bench.table("CPU time of requests, #{@at_once} at once", columns, rows)
  end

  ## The stand-in for :telemetry

  defp attached(:absent, fun), do: fun.()

  defp attached(way, fun) do
    define()
    apply(:telemetry, :start, [])
    if way != :unheard, do: apply(:telemetry, :attach_many, [Telemetry.events(), handler(way)])

    try do
      fun.()
    after
      apply(:telemetry, :forget, [])
      :code.purge(:telemetry)
      :code.delete(:telemetry)
    end
  end

  defp handler(:ignored), do: fn _event, _measurements, _metadata, _config -> :ok end

  defp handler(:recorded) do
    fn event, measurements, metadata, _config ->
      Telemetry.GenAI.recordings(event, measurements, metadata)
    end
  end

  defp define do
    Code.compile_string("""
    defmodule :telemetry do
      def start,
        do: :ets.new(__MODULE__, [:named_table, :public, :duplicate_bag, read_concurrency: true])

      def attach_many(events, handler),
        do: :ets.insert(__MODULE__, for(event <- events, do: {event, handler}))

      def execute(event, measurements, metadata) do
        for {_event, handler} <- :ets.lookup(__MODULE__, event) do
          try do
            handler.(event, measurements, metadata, nil)
          catch
            _kind, _reason -> :detached
          end
        end

        :ok
      end

      def forget, do: :ets.delete(__MODULE__)
    end
    """)
  end
end

GenAI.run(System.argv())
