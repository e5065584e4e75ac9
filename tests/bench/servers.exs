# How fast are streams through Elixir, beside vLLM's own servers?
#
#     mix run tests/bench/servers.exs [MODEL] [--json] [--rounds N] [--quick]
#
# Four engines with the same arguments: the bridge's, and those of vLLM's OpenAI server, of its gRPC
# server, and of its Rust front end, which serves HTTP and gRPC at once. Each is served over a Unix
# socket (Rust's gRPC over TCP) and asked by the cheapest client there is for it, in a process of its
# own: Elixir; asyncio with httptools and msgspec; grpc.aio. One is asked at a time, and not before the
# others rest: vLLM's Worker spins for a second after its last step. The bridge's engine is asked in
# its own process as well, which says what could be reached at all beside the same front end.
#
# The gRPC server sends token ids only, and its engine makes no text. So the bridge is measured twice,
# with text and (`detokenize: false`) without. The gRPC server's package, and the binary of the Rust
# front end out of vLLM's own wheel, are installed into folders of their own; where they cannot be
# had, or do not start, their columns stay empty and a note says why.

Code.require_file("support/measured.exs", __DIR__)
Code.require_file("support/servers.exs", __DIR__)

defmodule Servers do
  alias Bench.{Measured, Processes, Servers}

  # How many streams, and how often in a row: a single one is over in 0.2 s.
  @streams [{1, 4}, {16, 2}, {64, 1}, {256, 1}]
  @tokens 128
  @prompt "hello world"
  # Block counts instead of a size: three caches of 1 GiB would have to be filled with zeros first.
  @engine [num_gpu_blocks_override: 4096]

  @columns [
    streams: "streams",
    in_process: "in process",
    elixir: "Elixir",
    http: "OpenAI HTTP",
    to_http: {"ratio", 2},
    limit_to_http: {"in process to it", 2},
    grpc: "vLLM's gRPC",
    to_grpc: {"ratio", 2},
    limit_to_grpc: {"in process to it", 2},
    ids: "Elixir, ids only",
    ids_to_grpc: {"ratio", 2},
    rust_http: "vllm-rs, HTTP",
    to_rust_http: {"ratio", 2},
    rust_grpc: "vllm-rs, gRPC",
    to_rust_grpc: {"ratio", 2}
  ]

  def run(argv) do
    opts = Bench.options(argv)
    arguments = [model: Measured.model(opts)] ++ Measured.arguments(@engine)
    kinds = [:http, :grpc, :rust_http]

    {installed, missing} =
      Enum.split_with(
        for(kind <- kinds, do: {kind, Servers.install(kind)}),
        &match?({_, :ok}, &1)
      )

    # They start beside one another.
    started =
      for {kind, :ok} <- installed, do: {kind, Servers.start(kind, arguments, @prompt, @tokens)}

    {results, failed} =
      try do
        Measured.with_engine(opts, @engine, fn engine ->
          {servers, failed} = await(started)
          {measure(engine, servers, Bench.rounds(opts, 4)), failed}
        end)
      after
        for {_kind, server} <- started, do: Servers.stop(server)
      end

    table = Bench.table("tokens/s, #{@tokens} tokens each, greedy", @columns, rows(results))

    Bench.report(
      opts,
      "servers",
      [table],
      for({kind, {:error, why}} <- missing ++ failed, do: "#{kind} is left out: #{why}")
    )
  end

  # Those that serve, with Rust's second client; and why others do not.
  defp await(started) do
    for {kind, server} <- started, reduce: {[], []} do
      {servers, failed} ->
        case awaited(kind, server) do
          {:ok, more} -> {servers ++ more, failed}
          error -> {servers, [{kind, error} | failed]}
        end
    end
  end

  defp awaited(kind, server) do
    Servers.await(server)

    if kind == :rust_http,
      do:
        {:ok,
         [
           rust_http: server,
           rust_grpc: server |> Servers.beside(:rust_grpc, @prompt, @tokens) |> Servers.await()
         ]},
      else: {:ok, [{kind, server}]}
  rescue
    error in RuntimeError -> {:error, Exception.message(error)}
  end

  # Each takes its whole turn, at all numbers of streams: between turns everything has to rest.
  defp measure(engine, servers, rounds) do
    groups = Enum.uniq([Measured.worker() | for({_kind, server} <- servers, do: server.group)])
    ways = [:in_process, :elixir, :ids] ++ Keyword.keys(servers)

    turn = fn way ->
      Processes.wait_resting(groups)
      for {streams, times} <- @streams, do: speed(way, engine, servers, streams, times)
    end

    Enum.each(ways, turn)
    Bench.in_turn(rounds, ways, turn)
  end

  defp speed(:in_process, engine, _servers, streams, times),
    do: Measured.speed(:in_process, engine, @prompt, Measured.params(@tokens), streams, times)

  defp speed(way, engine, _servers, streams, times) when way in [:elixir, :ids] do
    params = Measured.params(@tokens, detokenize: way == :elixir)
    Measured.speed(:elixir, engine, @prompt, params, streams, times)
  end

  defp speed(way, _engine, servers, streams, times),
    do: Bench.Servers.speed(servers[way], streams, times)

  defp rows(results) do
    for {{streams, _times}, place} <- Enum.with_index(@streams) do
      of = fn way -> for speeds <- Map.get(results, way, []), do: Enum.at(speeds, place) end

      %{streams: streams}
      |> Map.merge(for way <- Map.keys(results), into: %{}, do: {way, Bench.median(of.(way))})
      |> Map.merge(
        for {key, ours, theirs} <- [
              {:to_http, :elixir, :http},
              {:limit_to_http, :in_process, :http},
              {:to_grpc, :elixir, :grpc},
              {:limit_to_grpc, :in_process, :grpc},
              {:ids_to_grpc, :ids, :grpc},
              {:to_rust_http, :elixir, :rust_http},
              {:to_rust_grpc, :elixir, :rust_grpc}
            ],
            is_map_key(results, theirs),
            into: %{},
            do: {key, Bench.ratio(of.(ours), of.(theirs))}
      )
    end
  end
end

Servers.run(System.argv())
