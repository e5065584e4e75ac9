defmodule Vllm.Core.Doctor.MachineChecksTest do
  use ExUnit.Case, async: true

  import Vllm.Machines

  test "the place of a worker's folder is shown, and what was passed over" do
    assert %{result: :ok, found: "in /tmp"} = check("socket", [])
    folder = folder(passed_over: ["TMPDIR (/x y) has a space"])
    assert %{result: :ok, found: found} = check("socket", make_folder: fn -> {:ok, folder} end)
    assert found == "in /tmp: TMPDIR (/x y) has a space"
  end

  test "a folder that others could replace is a warning with the reason" do
    folder = folder(warning: "TMPDIR (/x) is in /x, where every user may rename files")
    check = check("socket", make_folder: fn -> {:ok, folder} end)
    assert %{result: :warn, found: found, advice: advice} = check
    assert found =~ "every user may rename files"
    assert advice =~ ":socket_dir"
  end

  test "without a place for sockets the reasons are reported" do
    none = "no folder fits vLLM's sockets: /tmp allows no sockets: read-only file system"
    check = check("socket", make_folder: fn -> {:error, none} end)
    assert %{result: :fail, found: ^none, advice: "set TMPDIR to a short path" <> _} = check
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

    for name <- ["memory", "shared memory", "disk", "processor", "cpu"] do
      assert %{result: :ok, found: "cannot be checked on this system"} = check(name, gone)
    end
  end
end
