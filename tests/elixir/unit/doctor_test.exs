defmodule Vllm.DoctorTest do
  use ExUnit.Case, async: true

  import Vllm.Machines

  alias Vllm.Doctor
  alias Vllm.Core.Doctor.Machine

  test "a machine without problems gets no advice" do
    checks = Doctor.check(machine())
    assert Enum.reject(checks, &(&1.result == :ok and &1.advice == nil)) == []
    assert Doctor.healthy?(checks)
  end

  test "checks this machine, without importing vLLM" do
    checks = Doctor.check(%{Machine.this() | import_vllm: fn _path -> flunk("imported") end})
    assert Enum.find(checks, &(&1.name == "elixir")).result == :ok
    assert Enum.find(checks, &(&1.name == "cowlib")).result == :ok
    assert Enum.find(checks, &(&1.name == "socket")).result == :ok
  end

  test "every warning and failure has advice" do
    nothing = [
      elixir: "1.13.4",
      cowlib: {:error, "not there"},
      python: {:error, "no Python environment was found"},
      make_folder: fn -> {:error, "no folder fits vLLM's sockets"} end,
      cores: 1,
      worker_dir: nil,
      free_kib: fn _path -> {:ok, 0} end,
      files: %{"/proc/meminfo" => "MemAvailable: 1 kB\n", "/proc/cpuinfo" => "flags : fpu\n"}
    ]

    checks = Doctor.check(machine(nothing))
    refute Doctor.healthy?(checks)
    for check <- checks, check.result != :ok, do: assert(String.length(check.advice) > 10)
    assert length(for check <- checks, check.result != :ok, do: check) == 16
  end

  test "without Python, everything else is checked" do
    checks = Doctor.check(machine(python: {:error, "no Python environment was found"}))
    assert %{result: :fail, advice: "run `mix vllm.setup`"} = named(checks, "python")
    assert %{result: :fail, found: "no Python interpreter to check"} = named(checks, "vllm")
    assert %{result: :ok} = named(checks, "memory")
  end

  defp named(checks, name), do: Enum.find(checks, &(&1.name == name))
end
