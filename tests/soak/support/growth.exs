# What grows: samples of the processes of an instance while it is used, and a verdict on them.

defmodule Soak.Growth do
  alias Soak.Processes

  @sample_every 5_000
  @megabytes_per_minute 1.0

  # Kept in a sample, and by how much each may differ between the first third and the last.
  @flat [
    processes: 5,
    ports: 5,
    ets_tables: 5,
    atoms: 50,
    beam_fds: 5,
    worker_fds: 5,
    worker_threads: 5,
    core_fds: 5,
    tree: 0,
    references: 2
  ]
  @memory [:worker_rss, :core_rss, :beam_rss, :ets_mb]

  @doc "Takes a sample every 5 s until `ends`, a monotonic time in milliseconds. Prints one a minute."
  def samples(instance, ends) do
    {:ok, %{"pid" => worker}} = Vllm.status(instance)
    sample(instance, worker, ends, now(), [])
  end

  defp sample(instance, worker, ends, started, samples) do
    sample = Map.put(take(instance, worker), :minute, (now() - started) / 60_000)
    if rem(length(samples), 12) == 0, do: IO.puts(line(sample))

    if now() < ends do
      Process.sleep(min(@sample_every, max(ends - now(), 0)))
      sample(instance, worker, ends, started, [sample | samples])
    else
      Enum.reverse([sample | samples])
    end
  end

  defp take(instance, worker) do
    group = Processes.group(worker)
    core = for {pid, "VLLM::EngineCore" <> _} <- group, do: pid
    {:ok, %{"references" => references}} = Vllm.status(instance)

    %{
      worker_rss: megabytes(worker),
      core_rss: core |> Enum.map(&megabytes/1) |> Enum.sum(),
      beam_rss: megabytes(System.pid()),
      ets_mb: :erlang.memory(:ets) / 1_048_576,
      worker_threads: Processes.status(worker, "Threads"),
      worker_fds: descriptors(worker),
      core_fds: core |> Enum.map(&descriptors/1) |> Enum.sum(),
      beam_fds: descriptors(System.pid()),
      tree: length(group),
      processes: :erlang.system_info(:process_count),
      ports: :erlang.system_info(:port_count),
      ets_tables: :erlang.system_info(:ets_count),
      atoms: :erlang.system_info(:atom_count),
      references: references
    }
  end

  defp megabytes(pid), do: Processes.status(pid, "VmRSS") / 1024
  defp descriptors(pid), do: length(File.ls!("/proc/#{pid}/fd"))

  defp line(sample) do
    "#{:io_lib.format(~c"~6.1f min", [sample.minute])}  " <>
      Enum.map_join(@memory ++ Keyword.keys(@flat), "  ", &"#{&1} #{round(sample[&1])}")
  end

  @doc """
  Prints the medians of the first third and of the last, without the first tenth, which warms up. Returns
  what has grown, as texts. Where `judge_memory?` is false the slopes of memory are shown and not judged.
  """
  def report(samples, judge_memory?) do
    counted = Enum.drop(samples, div(length(samples), 10) + 1)
    third = max(div(length(counted), 3), 1)
    {first, last} = {Enum.take(counted, third), Enum.take(counted, -third)}
    IO.puts("\n#{length(samples)} samples; medians of the first third and of the last:")

    grown =
      for key <- @memory, slope = slope(counted, key), reduce: [] do
        grown ->
          text = "#{key} #{Float.round(slope, 2)} MB/min"
          IO.puts("  #{show(first, last, key)}  slope #{Float.round(slope, 2)} MB/min")
          too_steep? = judge_memory? and slope >= @megabytes_per_minute
          if too_steep?, do: [text | grown], else: grown
      end

    flat =
      for {key, allowed} <- @flat do
        IO.puts("  #{show(first, last, key)}")
        check(Atom.to_string(key), median(last, key) - median(first, key), allowed)
      end

    grown ++ List.flatten(flat)
  end

  @doc "A text if there is more than allowed, in a list."
  def check(what, found, allowed) do
    if found <= allowed, do: [], else: ["#{what}: #{found}, allowed #{allowed}"]
  end

  defp show(first, last, key) do
    String.pad_trailing("#{key}", 16) <>
      "#{round(median(first, key))} -> #{round(median(last, key))}"
  end

  defp median(samples, key),
    do: samples |> Enum.map(& &1[key]) |> Enum.sort() |> Enum.at(div(length(samples), 2))

  # By least squares, per minute.
  defp slope(samples, key) do
    count = length(samples)
    mean = fn values -> Enum.sum(values) / count end
    {x, y} = {mean.(Enum.map(samples, & &1.minute)), mean.(Enum.map(samples, & &1[key]))}
    above = Enum.sum(for s <- samples, do: (s.minute - x) * (s[key] - y))
    below = Enum.sum(for s <- samples, do: (s.minute - x) * (s.minute - x))
    if below == 0, do: 0.0, else: above / below
  end

  defp now, do: System.monotonic_time(:millisecond)
end
