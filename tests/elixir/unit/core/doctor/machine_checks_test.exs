defmodule Vllm.Core.Doctor.MachineChecksTest do
  use ExUnit.Case, async: true

  import Vllm.Machines

  test "a temporary folder with a path too long for a socket is refused with both lengths" do
    check = check("socket", tmp_dir: "/" <> String.duplicate("x", 90))
    assert %{result: :fail, found: found} = check
    assert found =~ ~r/has \d+ bytes; a socket's path has at most 103/
  end

  test "a folder that allows no sockets is reported with the reason" do
    check = check("socket", bind: fn _path -> {:error, "read-only file system"} end)
    assert %{result: :fail, found: found} = check
    assert found =~ "read-only file system"
  end

  test "Docker's 64 MB of shared memory are a warning" do
    shared = fn
      "/dev/shm" -> {:ok, 65_536}
      _other -> {:ok, 50 * 1_048_576}
    end

    assert %{result: :warn, advice: advice} = check("shared memory", free_kib: shared)
    assert advice =~ "--shm-size"
  end

  test "space for the environment is required only if it is missing" do
    two_gib = fn _path -> {:ok, 2 * 1_048_576} end
    assert %{result: :ok} = check("disk", free_kib: two_gib)
    assert %{result: :warn} = check("disk", free_kib: two_gib, python: {:error, "none"})
  end

  test "a worker without its parent is listed, one with its parent is not" do
    orphan = %{
      "/proc/77/cmdline" => "/venv/bin/python\0-m\0python_worker\0--listen\0unix:/x\0",
      "/proc/77/stat" => "77 (python (x)) S 1 77 77"
    }

    assert %{result: :warn, found: "running without parent: 77"} =
             check("leftovers", files: orphan)

    child = %{orphan | "/proc/77/stat" => "77 (python) S 12 77 77"}
    assert %{result: :ok, found: "none"} = check("leftovers", files: child)
  end

  test "without /proc, nothing is reported" do
    gone = [read: fn _path -> {:error, :enoent} end, free_kib: fn _path -> :unknown end]

    for name <- ["memory", "shared memory", "disk", "processor"] do
      assert %{result: :ok, found: "cannot be checked on this system"} = check(name, gone)
    end
  end
end
