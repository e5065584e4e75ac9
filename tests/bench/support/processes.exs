# The CPU time of processes, from /proc.

defmodule Bench.Processes do
  # The kernel counts in hundredths of a second (USER_HZ).
  @tick_us 10_000

  @doc "The processes of a group: `[{name, pid}]`. A worker leads one, which vLLM's processes share."
  def group(leader) do
    for pid <- File.ls!("/proc"),
        pid =~ ~r/^\d+$/,
        {name, fields} <- List.wrap(stat(pid)),
        # Not those that have ended and whose parent does not know yet.
        Enum.at(fields, 2) == "#{leader}" and hd(fields) != "Z",
        do: {name, pid}
  end

  @doc "The CPU time that a process has used, in µs; 0 where it has ended."
  def cpu_us(pid) do
    case stat(pid) do
      {_name, fields} ->
        (String.to_integer(Enum.at(fields, 11)) + String.to_integer(Enum.at(fields, 12))) *
          @tick_us

      nil ->
        0
    end
  end

  @doc """
  The CPU time of the threads of a process, in nanoseconds; 0 where it has ended.

  The kernel counts it exactly, but forgets what threads that have ended used.
  """
  def cpu_ns(pid) do
    for thread <- Path.wildcard("/proc/#{pid}/task/*/schedstat"),
        {:ok, text} <- [File.read(thread)],
        reduce: 0,
        do: (sum -> sum + (text |> String.split() |> hd() |> String.to_integer()))
  end

  @doc """
  Waits until groups of processes rest: vLLM's Worker spins for a second after its last step.

  Resting is at most one tick in 200 ms for them all. Raises after half a minute without.
  """
  def wait_resting(leaders, attempts \\ 150)
  def wait_resting(_leaders, 0), do: raise("the engines that are not asked do not rest")

  def wait_resting(leaders, attempts) do
    processes = Enum.flat_map(leaders, &group/1)
    before = total(processes)
    Process.sleep(200)
    unless total(processes) - before <= @tick_us, do: wait_resting(leaders, attempts - 1)
  end

  defp total(processes),
    do: processes |> Enum.map(fn {_name, pid} -> cpu_us(pid) end) |> Enum.sum()

  # The name may hold anything; what follows its last parenthesis is state, parent, group …
  defp stat(pid) do
    with {:ok, text} <- File.read("/proc/#{pid}/stat"),
         [_, name, rest] <- Regex.run(~r/\((.*)\) (.*)/s, text) do
      {name, String.split(rest)}
    else
      _ended -> nil
    end
  end
end
