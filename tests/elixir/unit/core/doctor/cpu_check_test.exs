defmodule Vllm.Core.Doctor.CpuCheckTest do
  use ExUnit.Case, async: true

  import Vllm.Machines

  @on %{"/proc/sys/kernel/sched_autogroup_enabled" => "1\n"}

  # {what, cores, files, result, words in what was found}
  @table [
    {"autogroups on many cores", 8, @on, :ok,
     ["8 cores", "among sessions (autogroup)", "option :nice"]},
    {"autogroups on two cores", 2, @on, :ok, ["2 cores", "(autogroup)", "`+sbwt none`"]},
    {"autogroups and a lowered session", 2,
     Map.put(@on, "/proc/self/autogroup", "/autogroup-7 nice 5\n"), :ok,
     ["nice 5: the option :nice"]},
    {"no autogroups", 8, %{"/proc/sys/kernel/sched_autogroup_enabled" => "0\n"}, :ok,
     ["no autogroup"]},
    {"one core", 1, @on, :warn, ["1 core;"]},
    {"a container, version 2", 8, Map.put(@on, "/sys/fs/cgroup/cpu.max", "max 100000\n"), :ok,
     ["8 cores;", "weights of control groups"]},
    {"a quota, version 2", 8,
     Map.merge(@on, %{
       "/proc/self/cgroup" => "0::/a/b\n",
       "/sys/fs/cgroup/a/b/cpu.max" => "150000 100000\n"
     }), :warn, ["8 cores, of which a control group gives 1.5", "weights of control groups"]},
    {"a quota, version 1", 8,
     Map.merge(@on, %{
       "/proc/self/cgroup" => "2:memory:/x\n1:cpu,cpuacct:/docker/1\n0::/\n",
       "/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us" => "400000\n",
       "/sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us" => "100000\n"
     }), :ok, ["gives 4.0", "weights of control groups"]},
    {"the root group, version 1", 8,
     Map.merge(@on, %{
       "/proc/self/cgroup" => "1:cpu:/\n0::/\n",
       "/sys/fs/cgroup/cpu/cpu.cfs_quota_us" => "-1\n",
       "/sys/fs/cgroup/cpu/cpu.cfs_period_us" => "100000\n"
     }), :ok, ["8 cores; divided among sessions"]}
  ]

  for {what, cores, files, result, words} <- @table do
    test what do
      check = check("cpu", cores: unquote(cores), files: unquote(Macro.escape(files)))
      assert check.result == unquote(result)
      for text <- unquote(words), do: assert(check.found =~ text)
    end
  end

  test "this machine is described" do
    machine = Vllm.Core.Doctor.Machine.this()
    assert {result, found, _advice} = Vllm.Core.Doctor.CpuCheck.check(machine)
    assert result in [:ok, :warn]
    assert found =~ "core"
  end
end
