# How fast are streams through Elixir, beside vLLM's own servers?
#
#     mix run tests/bench/servers.exs [MODEL] [--json] [--rounds N] [--quick]
#
# Three engines with the same arguments: the bridge's, that of vLLM's OpenAI server and that of vLLM's
# gRPC server, each served over a Unix socket and asked by the cheapest client there is for it, in a
# process of its own: Elixir; asyncio with httptools and msgspec; grpc.aio with the server's stubs. One
# is asked at a time, and not before the others rest: vLLM's Worker spins for a second after its last
# step. The bridge's engine is asked in its own process as well, which says what could be reached at
# all: no client of a server is faster than that.
#
# The gRPC server sends token ids only, and its engine makes no text. So the bridge is measured twice,
# with text and (`detokenize: false`) without. The server's package is installed into a folder of its
# own; where it cannot be had, its column stays empty.

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
    ids_to_grpc: {"ratio", 2}
  ]

  def run(argv) do
    opts = Bench.options(argv)
    installed = Servers.install()
    arguments = [model: Measured.model(opts)] ++ Measured.arguments(@engine)
    kinds = if installed == :ok, do: [:http, :grpc], else: [:http]

    # They start beside one another.
    servers = for kind <- kinds, do: {kind, Servers.start(kind, arguments, @prompt, @tokens)}

    results =
      try do
        Measured.with_engine(opts, @engine, fn engine ->
          for {_kind, server} <- servers, do: Servers.await(server)
          measure(engine, servers, Bench.rounds(opts, 4))
        end)
      after
        for {_kind, server} <- servers, do: Servers.stop(server)
      end

    table = Bench.table("tokens/s, #{@tokens} tokens each, greedy", @columns, rows(results))
    Bench.report(opts, "servers", [table], notes(installed))
  end

  defp notes(:ok), do: []
  defp notes({:error, why}), do: ["vLLM's gRPC server is left out: #{why}"]

  # Each takes its whole turn, at all numbers of streams: between turns everything has to rest.
  defp measure(engine, servers, rounds) do
    groups = [Measured.worker() | for({_kind, server} <- servers, do: server.group)]
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
              {:ids_to_grpc, :ids, :grpc}
            ],
            is_map_key(results, theirs),
            into: %{},
            do: {key, Bench.ratio(of.(ours), of.(theirs))}
      )
    end
  end
end

Servers.run(System.argv())
