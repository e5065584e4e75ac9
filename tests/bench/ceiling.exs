# How many tokens per second does one worker carry, if its engine costs nothing?
#
#     mix run tests/bench/ceiling.exs [MODEL] [--ways elixir,rust_grpc] [--streams 16,256,2048] [--rate 16000]
#                                     [--scheduler] [--json] [--rounds N] [--quick] [--all]
#
# On a GPU the front end of an engine is the limit; on two CPU cores it never is. So the engine is a
# free one (support/free_engine.py): EngineCore without a model, and without vLLM's scheduler unless
# told `--scheduler`. Everything before it is real: tokenizer, input processing, vLLM's protocol between
# its processes, detokenizer, outputs.
#
# Ways: AsyncLLM in process; the bridge from Elixir, for outputs, texts or token ids; the bridge from
# Python over gRPC; and vLLM's front ends: the OpenAI server, the gRPC server, and the Rust front end over
# HTTP and gRPC. The first five share an engine by turns; each server has an engine of its own, later.
#
# At `--rate` tokens per second of all streams together, which all can carry, each output has one token. The
# µs of CPU that a token then costs the front end's process say how many of them one core of it
# carries, and do not depend on what else the machine does as times by the clock do. Each request brings 128
# tokens, and what the request itself costs is in the figures: "long prompts" have 1,536 tokens.
#
# With `--all` also as fast as it goes: outputs arrive faster than a front end takes them, and are merged.

Code.require_file("support/cost.exs", __DIR__)
Code.require_file("support/servers.exs", __DIR__)

defmodule Ceiling do
  alias Bench.{Cost, Measured, Servers}
  alias Vllm.Core.Instance.Locator

  @names %{
    in_process: "AsyncLLM in process",
    elixir: "bridge, Elixir",
    text: "bridge, Elixir, texts",
    token_ids: "bridge, Elixir, token ids",
    grpc_client: "bridge, Python over gRPC",
    http: "vLLM's OpenAI server",
    grpc: "vLLM's gRPC server",
    rust_http: "vllm-rs, HTTP",
    rust_grpc: "vllm-rs, gRPC"
  }
  @bridge ~w(in_process elixir text token_ids grpc_client)a
  @servers ~w(http grpc rust_http rust_grpc)a
  @streams [16, 256, 2048]
  @tokens 128
  @rate 16_000
  # Each turn makes so many tokens or more, so that what is counted is more than the count's own error.
  @enough 16_384
  # Tokens are bytes.
  @short String.duplicate("a", 11)
  @long String.duplicate("a", 1_536)

  @columns [
    way: "",
    streams: "streams",
    front: {"front end, µs", 1},
    client: {"client, µs", 1},
    core: {"EngineCore, µs", 1},
    carries: "carries, tokens/s",
    merged: {"tokens an output", 1},
    long: {"front end, long prompts", 1},
    long_client: {"client", 1},
    fast: "as fast as it goes, tokens/s",
    fast_merged: {"tokens an output then", 1}
  ]

  def run(argv) do
    opts =
      Bench.options(argv, ways: :string, streams: :string, rate: :integer, scheduler: :boolean)

    ways = names(opts[:ways], @bridge ++ @servers, &String.to_existing_atom/1)

    streams =
      names(opts[:streams], if(opts.quick, do: [256], else: @streams), &String.to_integer/1)

    rate = opts[:rate] || @rate

    {rows, notes} =
      Cost.with_rate(fn file, env ->
        plan = %{opts: opts, model: Measured.model(opts), streams: streams, rate: rate}
        measure(ways, Map.merge(plan, %{file: file, env: env, rounds: Bench.rounds(opts, 2)}))
      end)

    title = "CPU for a token at #{rate} tokens/s"
    Bench.report(opts, "ceiling", [Bench.table(title, @columns, rows)], notes)
  end

  defp names(nil, all, _parse), do: all
  defp names(given, _all, parse), do: given |> String.split(",") |> Enum.map(parse)

  defp measure(ways, plan) do
    {bridge, servers} = Enum.split_with(ways, &(&1 in @bridge))
    ours = if bridge == [], do: [], else: bridge(bridge, plan)

    Enum.reduce(servers, {ours, []}, fn kind, {rows, notes} ->
      case server(kind, plan) do
        {:ok, more} -> {rows ++ more, notes}
        {:error, why} -> {rows, notes ++ ["#{@names[kind]} is left out: #{why}"]}
      end
    end)
  end

  ## The bridge

  # By turns, because all ways share one engine.
  defp bridge(ways, plan) do
    Cost.with_engine(plan.opts, plan.env, fn engine ->
      worker = Measured.worker()

      rows =
        for streams <- plan.streams do
          subjects = for way <- ways, do: {way, bridge_way(way, engine, @short, worker)}
          longs = for way <- ways, do: {way, bridge_way(way, engine, @long, worker)}
          rows = rows(subjects, longs, streams, plan)
          for {_way, %{close: close}} <- subjects ++ longs, do: close.()
          rows
        end

      rows
      |> Enum.concat()
      |> Enum.sort_by(fn row -> Enum.find_index(ways, &(@names[&1] == row.way)) end)
    end)
  end

  defp bridge_way(:grpc_client, engine, text, worker) do
    {:ok, "unix:" <> path, token} =
      engine.instance |> elem(0) |> Locator.process_name("Worker") |> Vllm.Core.Worker.address()

    address = Enum.join(["unix:#{path}.grpc", token, engine.id, engine.incarnation], "#")
    port = Servers.open_client("tests.bench.servers.bridge_client", address, "-", text, @tokens)
    "ready" = Bench.Lines.read(port)
    {:os_pid, client} = Port.info(port, :os_pid)

    subject(worker, client, &{Servers.speed(%{client: port, tokens: @tokens}, &1, &2), nil}, fn ->
      Bench.Lines.close(port)
    end)
  end

  defp bridge_way(way, engine, text, worker) do
    client = if way != :in_process, do: System.pid()
    params = Measured.params(@tokens)
    speed = &Measured.speed_and_outputs(way, engine, text, params, &1, &2)
    subject(worker, client, speed, fn -> :ok end)
  end

  ## vLLM's servers

  defp server(kind, plan) do
    with :ok <- Servers.install(kind) do
      arguments =
        [model: plan.model] ++ Measured.arguments(Cost.arguments(plan.opts[:scheduler] || false))

      server = Servers.start(kind, arguments, @short, @tokens, plan.env)

      try do
        Servers.await(server)
        long = server |> Servers.beside(kind, @long, @tokens) |> Servers.await()

        rows =
          for streams <- plan.streams do
            [subject, beside] =
              for served <- [server, long] do
                {:os_pid, client} = Port.info(served.client, :os_pid)
                {kind, subject(server.group, client, &{Servers.speed(served, &1, &2), nil}, nil)}
              end

            rows([subject], [beside], streams, plan)
          end

        Bench.Lines.close(long.client)
        {:ok, Enum.concat(rows)}
      rescue
        error in RuntimeError -> {:error, Exception.message(error)}
      after
        Servers.stop(server)
      end
    end
  end

  ## One row

  defp subject(leader, client, speed, close),
    do: %{processes: Cost.processes(leader, client), speed: speed, close: close}

  defp rows(subjects, longs, streams, plan) do
    times = ceil(if(plan.opts.quick, do: 1, else: @enough) / (streams * @tokens))
    ways = Keyword.keys(subjects)

    turn = fn subjects, rate, times ->
      Cost.set_rate(plan.file, rate)
      Bench.in_turn(plan.rounds, ways, &once(subjects[&1], streams, times))
    end

    Cost.set_rate(plan.file, plan.rate)
    for way <- ways, do: once(subjects[way], streams, 1)
    paced = turn.(subjects, plan.rate, times)
    long = turn.(longs, plan.rate, 1)
    fast = if plan.opts.all, do: turn.(subjects, 0, times), else: %{}
    rows = for way <- ways, do: row(way, streams, paced[way], long[way], fast[way])
    # A run of all ways takes minutes.
    for row <- rows,
        do: IO.puts(:stderr, "#{row.way}, #{streams} streams: #{round(row.carries)} tokens/s")

    rows
  end

  defp once(%{processes: processes, speed: speed}, streams, times) do
    tokens = streams * times * @tokens

    {costs, {rate, outputs}} = Cost.measure(processes, tokens, fn -> speed.(streams, times) end)
    Map.merge(costs, %{rate: rate, merged: outputs && tokens / outputs})
  end

  defp row(way, streams, paced, long, fast) do
    front = Bench.figure(each(paced, :front), :less)

    row = %{
      way: @names[way],
      streams: streams,
      front: front,
      client: Bench.figure(each(paced, :client), :less),
      core: Bench.median(each(paced, :core)),
      carries: 1.0e6 / Bench.Figure.value(front),
      merged: median(each(paced, :merged)),
      long: Bench.figure(each(long, :front), :less),
      long_client: Bench.figure(each(long, :client), :less)
    }

    if fast,
      do:
        Map.merge(row, %{
          fast: Bench.median(each(fast, :rate)),
          fast_merged: median(each(fast, :merged))
        }),
      else: row
  end

  defp each(rounds, key), do: Enum.map(rounds, &Map.fetch!(&1, key))
  defp median([nil | _]), do: nil
  defp median(values), do: Bench.median(values)
end

Ceiling.run(System.argv())
