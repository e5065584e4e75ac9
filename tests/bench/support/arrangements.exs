# The ways in which a machine divides its CPU between the BEAM and a worker, set for processes that run.
#
# It takes root, and for the control groups their version 1, which has a folder of its own for the CPU.

Code.require_file("processes.exs", __DIR__)

defmodule Bench.Arrangements do
  alias Bench.Processes

  @autogroup "/proc/sys/kernel/sched_autogroup_enabled"
  @groups "/sys/fs/cgroup/cpu"
  @period_us 100_000

  # Endless loops on each core until its stdin ends.
  @busy """
  import multiprocessing, os, sys
  def spin():
      while True:
          pass
  context = multiprocessing.get_context("fork")
  spinning = [context.Process(target=spin, daemon=True) for _ in os.sched_getaffinity(0)]
  for process in spinning:
      process.start()
  print("ready", flush=True)
  sys.stdin.read()
  """

  @doc "All of them: `{name, what it is}`."
  def all do
    [
      {"autogroup", "each session gets its share; the worker's gives way"},
      {"no autogroup", "each thread gets its share"},
      {"one control group", "BEAM and worker share one"},
      {"two control groups", "one for the BEAM, one for the worker"},
      {"a limit of one core", "one control group, which may use the time of one core"},
      {"one core", "BEAM and worker are bound to the same core"},
      {"a busy session", "autogroup, beside a session that is busy on each core"},
      {"a busy control group", "one control group, beside another that is busy on each core"}
    ]
  end

  @doc "Why one cannot be set here; nil where it can."
  def missing(name) do
    cond do
      name in ["autogroup", "no autogroup", "a busy session"] and not writable?(@autogroup) ->
        "#{@autogroup} cannot be written"

      name =~ ~r/control group|limit/ and not writable?(@groups <> "/cgroup.procs") ->
        "#{@groups} cannot be written"

      true ->
        nil
    end
  end

  @doc "Runs `fun` while the BEAM and the processes of a worker are arranged in this way."
  def within(name, worker, fun) do
    # Linux keeps the nice value of a session, and counts it while autogroups are on.
    before = File.read!(@autogroup)
    File.write!(@autogroup, if(name in ["no autogroup"], do: "0", else: "1"))

    try do
      arrange(name, [String.to_integer(System.pid())], pids(worker), fun)
    after
      File.write!(@autogroup, before)
    end
  end

  defp arrange("one control group", beam, worker, fun),
    do: in_groups([{"all", beam ++ worker}], [], fun)

  defp arrange("two control groups", beam, worker, fun),
    do: in_groups([{"beam", beam}, {"worker", worker}], [], fun)

  defp arrange("a limit of one core", beam, worker, fun),
    do: in_groups([{"all", beam ++ worker}], [{"all", "cpu.cfs_quota_us", @period_us}], fun)

  defp arrange("one core", beam, worker, fun) do
    all = beam ++ worker
    {cores, 0} = System.cmd("taskset", ["-pc", "#{hd(beam)}"])
    [cores] = Regex.run(~r/[\d,-]+$/, String.trim(cores))
    bind(all, cores |> String.split([",", "-"]) |> hd())

    try do
      fun.()
    after
      bind(all, cores)
    end
  end

  defp arrange("a busy session", _beam, _worker, fun), do: beside(fn _pids -> fun.() end)

  defp arrange("a busy control group", beam, worker, fun) do
    beside(fn busy -> in_groups([{"all", beam ++ worker}, {"busy", busy}], [], fun) end)
  end

  defp arrange(_as_it_is, _beam, _worker, fun), do: fun.()

  defp bind(pids, cores) do
    for pid <- pids do
      {_said, 0} = System.cmd("taskset", ["-apc", cores, "#{pid}"])
    end
  end

  # Each group is made, filled, emptied and removed.
  defp in_groups(groups, settings, fun) do
    for {group, _pids} <- groups, do: File.mkdir_p!(folder(group))
    for {group, file, value} <- settings, do: File.write!(folder(group) <> "/#{file}", "#{value}")
    for {group, pids} <- groups, do: move(pids, folder(group))

    try do
      fun.()
    after
      for {group, _pids} <- groups do
        folder(group) |> members() |> move(@groups)
        File.rmdir!(folder(group))
      end
    end
  end

  defp folder(group), do: "#{@groups}/bridge-bench-#{System.pid()}-#{group}"

  defp members(folder),
    do:
      (folder <> "/cgroup.procs")
      |> File.read!()
      |> String.split()
      |> Enum.map(&String.to_integer/1)

  # A process that has ended meanwhile is in no group.
  defp move(pids, folder) do
    for pid <- pids,
        File.exists?("/proc/#{pid}"),
        do: File.write(folder <> "/cgroup.procs", "#{pid}")
  end

  defp beside(fun) do
    {:ok, python} = Vllm.Environment.python()
    busy = Bench.Lines.open(python, ["-c", @busy])
    "ready" = Bench.Lines.read(busy)
    {:os_pid, leader} = Port.info(busy, :os_pid)

    try do
      fun.(pids(leader))
    after
      Bench.Lines.close(busy)
    end
  end

  defp pids(leader), do: for({_name, pid} <- Processes.group(leader), do: String.to_integer(pid))

  defp writable?(path) do
    case File.stat(path) do
      {:ok, %{access: access}} -> access in [:write, :read_write]
      {:error, _reason} -> false
    end
  end
end
