defmodule Vllm.Core.Doctor.MachineChecks do
  @moduledoc false
  # The doctor's checks of everything but Python: Elixir, sockets, memory, disk, processor, and
  # processes that an earlier run has left behind.

  import Vllm.Core.Doctor.Result

  # An engine with the smallest model has three processes of 600 MB and 1 GiB of KV cache.
  @memory_gib 4.0
  # Needed to make the Python environment.
  @environment_gib 5.0
  # vLLM's processes exchange messages through /dev/shm. Docker's default is 64 MB.
  @shared_memory_mib 512

  @doc "The free memory that is required, for the table of checks."
  def memory_gib, do: @memory_gib
  def shared_memory_mib, do: @shared_memory_mib

  def elixir(machine) do
    found = "Elixir #{machine.elixir} on Erlang/OTP #{machine.otp}"

    if Version.match?(machine.elixir, ">= 1.14.0") and String.to_integer(machine.otp) >= 25,
      do: ok(found),
      else: fail(found, "install Elixir 1.14 or newer: https://elixir-lang.org/install.html")
  end

  def cowlib(%{cowlib: {:ok, version}}), do: ok("cowlib #{version}")

  def cowlib(%{cowlib: {:error, reason}}),
    do: fail(reason, "run `mix deps.get` and compile again, or `make setup` in a clone")

  # The folder was made by what makes it for a worker, and has been removed.
  def socket(machine) do
    case machine.make_folder.() do
      {:ok, %{warning: nil, passed_over: []} = folder} ->
        ok("in #{Path.dirname(folder.files)}")

      {:ok, %{warning: nil} = folder} ->
        ok("in #{Path.dirname(folder.files)}: #{Enum.join(folder.passed_over, "; ")}")

      {:ok, folder} ->
        warn(
          "in #{Path.dirname(folder.files)}; other users could replace the folder of a worker: " <>
            folder.warning,
          "set TMPDIR, or the option :socket_dir, to a folder that only this user may write to"
        )

      {:error, reason} ->
        fail(reason, "set TMPDIR to a short path in which this user can make sockets")
    end
  end

  def memory(machine) do
    with {:ok, text} <- machine.read.("/proc/meminfo"),
         [_all, kib] <- Regex.run(~r/^MemAvailable:\s+(\d+) kB/m, text) do
      gib = String.to_integer(kib) / 1_048_576
      found = "#{round_text(gib)} GiB are free"

      if gib >= @memory_gib,
        do: ok(found),
        else: warn(found, "free memory; the kernel may kill an engine while it loads")
    else
      _other -> unknown()
    end
  end

  def shared_memory(machine) do
    case machine.free_kib.("/dev/shm") do
      {:ok, kib} when kib >= @shared_memory_mib * 1024 ->
        ok("#{div(kib, 1024)} MiB are free")

      {:ok, kib} ->
        warn(
          "#{div(kib, 1024)} MiB are free",
          "in a container, increase it: docker run --shm-size=2g"
        )

      :unknown ->
        unknown()
    end
  end

  def disk(machine, python) do
    needed = if match?({:ok, _path, _facts}, python), do: 1.0, else: @environment_gib

    case machine.free_kib.(machine.cache_dir) do
      {:ok, kib} when kib >= needed * 1_048_576 ->
        ok("#{round_text(kib / 1_048_576)} GiB are free")

      {:ok, kib} ->
        warn(
          "#{round_text(kib / 1_048_576)} GiB are free on the disk of #{machine.cache_dir}",
          "free #{needed} GiB, or set XDG_CACHE_HOME to a folder on another disk"
        )

      :unknown ->
        unknown()
    end
  end

  def processor(_machine, {:ok, _path, %{"vllm" => _version}}), do: ok("not used: vLLM for CUDA")

  def processor(machine, _python) do
    with {:ok, text} <- machine.read.("/proc/cpuinfo"),
         [_all, flags] <- Regex.run(~r/^flags\s*: (.*)$/m, text) do
      flags = String.split(flags)

      case {"avx512f" in flags, "avx2" in flags, "amx_bf16" in flags} do
        {true, _avx2, true} ->
          ok("AVX-512 and AMX")

        {true, _avx2, false} ->
          ok("AVX-512")

        {false, true, _amx} ->
          warn("AVX2 only", "nothing; vLLM runs slower than with AVX-512")

        {false, false, _amx} ->
          fail(
            "neither AVX2 nor AVX-512",
            "use another machine; vLLM's CPU build needs one of them"
          )
      end
    else
      _other -> unknown()
    end
  end

  # A worker ends with the BEAM that started it, and its engines end with the worker. One whose parent
  # is init has been left behind.
  def leftovers(machine) do
    orphans =
      for pid <- machine.list.("/proc"),
          pid =~ ~r/^\d+$/,
          {:ok, line} <- [machine.read.("/proc/#{pid}/cmdline")],
          line =~ ~r/-m\0python_worker\0|^VLLM::/,
          {:ok, stat} <- [machine.read.("/proc/#{pid}/stat")],
          stat =~ ~r/\) \S 1 / do
        pid
      end

    case orphans do
      [] ->
        ok("none")

      pids ->
        warn(
          "running without parent: #{Enum.join(pids, " ")}",
          "end them: kill #{Enum.join(pids, " ")}"
        )
    end
  end

  defp round_text(number), do: number |> Float.round(1) |> to_string()
end
