defmodule Vllm.Core.Doctor.CpuCheck do
  @moduledoc false
  # How Linux divides the CPU of this machine, and what follows for the BEAM and the worker.
  #
  # Tasks in a control group with a CPU weight are divided by these weights. All others are divided first
  # by session, if autogroups are on, and within a session by nice value. A program that is started
  # through a port has a session of its own, so the BEAM and vLLM's processes are in different sessions.

  import Vllm.Core.Doctor.Result

  # With fewer, vLLM's processes keep all cores busy while they wait for each other.
  @spare_cores 3

  @autogroup_enabled "/proc/sys/kernel/sched_autogroup_enabled"

  @doc "Checks a machine as `Vllm.Core.Doctor.Machine` describes it."
  @spec check(map()) :: Vllm.Core.Doctor.Result.t()
  def check(machine) do
    case machine.read.("/proc/self/cgroup") do
      {:ok, groups} -> judge(machine, group(groups))
      {:error, _reason} -> unknown()
    end
  end

  defp judge(machine, group) do
    quota = quota(machine, group)
    cores = min(machine.cores, quota || machine.cores)
    found = "#{cores(machine.cores)}#{quota_text(quota)}; #{division(machine, group)}"

    if cores >= 2,
      do: ok(found <> follows(cores)),
      else:
        warn(
          found,
          "give it two cores or more: vLLM's processes wait in loops, and whatever else runs waits " <>
            "for them; start the BEAM with `+sbwt none`"
        )
  end

  defp cores(1), do: "1 core"
  defp cores(count), do: "#{count} cores"

  defp quota_text(nil), do: ""
  defp quota_text(quota), do: ", of which a control group gives #{Float.round(quota, 1)}"

  defp division(machine, group) do
    cond do
      weighted?(machine, group) ->
        "divided by the weights of control groups; :nice changes nothing"

      autogroup?(machine) ->
        "divided among sessions (autogroup)#{own_nice(machine)}"

      true ->
        "divided among all threads (no autogroup); :nice changes nothing"
    end
  end

  # Of the BEAM's session, which a shell or an earlier program may have lowered.
  defp own_nice(machine) do
    with {:ok, text} <- machine.read.("/proc/self/autogroup"),
         [_all, nice] when nice != "0" <- Regex.run(~r/nice (-?\d+)/, text) do
      ", this one with nice #{nice}: the option :nice should be higher"
    else
      _none ->
        ": the option :nice lowers the worker's, so that the BEAM runs in time and vLLM gets less " <>
          "beside other busy sessions"
    end
  end

  defp follows(cores) when cores < @spare_cores,
    do: "; vLLM alone can keep all cores busy: start the BEAM with `+sbwt none`"

  defp follows(_cores), do: ""

  ## Control groups

  # Version 2 has one line, "0::/path"; version 1 has one for each controller.
  defp group(text) do
    lines = for line <- String.split(text, "\n"), do: String.split(line, ":", parts: 3)

    Enum.find_value(lines, fn
      [_id, controllers, path] -> if "cpu" in String.split(controllers, ","), do: {:v1, path}
      _other -> nil
    end) ||
      Enum.find_value(lines, fn line -> match?(["0", "", _], line) && {:v2, List.last(line)} end)
  end

  # In a container the path is "/" although the group is not the root. Only the root lacks cpu.max.
  defp weighted?(machine, {:v2, path}),
    do: match?({:ok, _text}, machine.read.(Path.join(["/sys/fs/cgroup", path, "cpu.max"])))

  defp weighted?(_machine, {:v1, path}), do: path != "/"
  defp weighted?(_machine, nil), do: false

  defp autogroup?(machine), do: match?({:ok, "1" <> _}, machine.read.(@autogroup_enabled))

  # In cores; nil for no limit.
  defp quota(machine, {:v2, path}) do
    with {:ok, text} <- machine.read.(Path.join(["/sys/fs/cgroup", path, "cpu.max"])),
         [quota, period] <- String.split(text),
         do: share(quota, period),
         else: (_unlimited -> nil)
  end

  defp quota(machine, {:v1, path}) do
    with {:ok, quota} <-
           machine.read.(Path.join(["/sys/fs/cgroup/cpu", path, "cpu.cfs_quota_us"])),
         {:ok, period} <-
           machine.read.(Path.join(["/sys/fs/cgroup/cpu", path, "cpu.cfs_period_us"])),
         do: share(String.trim(quota), String.trim(period)),
         else: (_unlimited -> nil)
  end

  defp quota(_machine, nil), do: nil

  defp share(quota, period) do
    with {quota, ""} when quota > 0 <- Integer.parse(quota),
         {period, ""} when period > 0 <- Integer.parse(period),
         do: quota / period,
         else: (_unlimited -> nil)
  end
end
