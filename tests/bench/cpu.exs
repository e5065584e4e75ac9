# Where does the CPU go, in process and through Elixir?
#
#     mix run tests/bench/cpu.exs [MODEL] [--streams 256 | --all] [--json] [--rounds N] [--quick]
#
# One worker, one real engine, both ways in turn; at 256 streams unless told, and from 1 on with
# `--all`. For each process the table shows the CPU time that it used, in µs a token, from /proc, and
# how much of the machine was idle. It is the whole time of the processes: what vLLM's Worker burns
# while it waits for the next step is in it, and what the BEAM's schedulers do.

Code.require_file("support/measured.exs", __DIR__)
Code.require_file("support/processes.exs", __DIR__)

defmodule Cpu do
  alias Bench.{Measured, Processes}

  @all [1, 4, 16, 64, 256]
  @tokens 128
  @prompt "hello world"
  # The kernel counts in hundredths of a second, so each turn makes this many tokens or more: ten or
  # more of these for the process that uses least.
  @enough 10_000

  @columns [
    streams: "streams",
    way: "",
    rate: "tokens/s",
    idle: {"idle %", 1},
    beam: {"BEAM", 1},
    worker: {"worker", 1},
    core: {"EngineCore", 1},
    executor: {"vLLM's Worker", 1},
    sum: {"sum", 1}
  ]

  def run(argv) do
    opts = Bench.options(argv, streams: :integer)
    counts = if opts.all, do: @all, else: [Map.get(opts, :streams, 256)]

    rows =
      Measured.with_engine(opts, fn engine ->
        worker = Measured.worker()
        processes = [{"BEAM", System.pid()} | Processes.group(worker)]
        for streams <- counts, row <- measure(engine, streams, processes, worker, opts), do: row
      end)

    title = "µs of CPU a token, streams of #{@tokens} tokens"
    Bench.report(opts, "cpu", [Bench.table(title, @columns, rows)])
  end

  defp measure(engine, streams, processes, worker, opts) do
    enough = if opts.quick, do: 1, else: @enough
    times = ceil(enough / (streams * @tokens))
    ways = [in_process: "in process", elixir: "through Elixir"]
    for {way, _name} <- ways, do: speed(way, engine, streams, 1)

    results =
      Bench.in_turn(Bench.rounds(opts, 3), ways, fn {way, _name} ->
        before = snapshot(processes)
        rate = speed(way, engine, streams, times)
        used(before, snapshot(processes), processes, worker, streams * times * @tokens, rate)
      end)

    for {_way, name} = way <- ways, do: row(results[way], streams, name)
  end

  defp speed(way, engine, streams, times),
    do: Measured.speed(way, engine, @prompt, Measured.params(@tokens), streams, times)

  defp row(rounds, streams, name) do
    for key <- [:rate, :idle, :beam, :worker, :core, :executor, :sum],
        into: %{streams: streams, way: name},
        do: {key, shown(key, Enum.map(rounds, & &1[key]))}
  end

  defp shown(part, values) when part in [:beam, :worker], do: Bench.figure(values, :less)
  defp shown(_key, values), do: Bench.median(values)

  defp used({before, idle, all}, {later, idle_later, all_later}, processes, worker, tokens, rate) do
    per_token = Enum.zip_with(later, before, &((&1 - &2) / tokens))
    by_part = Enum.zip(Enum.map(processes, &part(&1, worker)), per_token)

    %{beam: 0.0, worker: 0.0, core: 0.0, executor: 0.0, other: 0.0}
    |> Map.merge(Map.new(by_part), fn _part, one, other -> one + other end)
    |> Map.put(:sum, Enum.sum(per_token))
    |> Map.put(:rate, rate)
    |> Map.put(:idle, 100 * (idle_later - idle) / max(all_later - all, 1))
  end

  # Names as the kernel keeps them, of 15 bytes.
  defp part({"BEAM", _pid}, _worker), do: :beam
  defp part({"VLLM::EngineCor" <> _, _pid}, _worker), do: :core
  defp part({"VLLM::Worker" <> _, _pid}, _worker), do: :executor
  defp part({_name, pid}, worker), do: if(pid == "#{worker}", do: :worker, else: :other)

  defp snapshot(processes) do
    ["cpu" | fields] =
      "/proc/stat" |> File.read!() |> String.split("\n") |> hd() |> String.split()

    times = Enum.map(fields, &String.to_integer/1)
    # idle and iowait, of the first eight: guests are counted twice.
    {Enum.map(processes, fn {_name, pid} -> Processes.cpu_us(pid) end),
     Enum.at(times, 3) + Enum.at(times, 4), times |> Enum.take(8) |> Enum.sum()}
  end
end

Cpu.run(System.argv())
