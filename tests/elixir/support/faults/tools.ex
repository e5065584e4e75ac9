defmodule Vllm.Faults.Tools do
  @moduledoc false
  # What a fault is made with, and why this machine cannot make it.

  alias Vllm.FakeWorkerCase

  @preloads Path.wildcard("/usr/lib/*/faketime/libfaketimeMT.so.1")

  @doc "Why there are no such faults here, or nil."
  @spec missing(atom()) :: String.t() | nil
  def missing(:strace), do: unless(System.find_executable("strace"), do: absent("strace"))
  def missing(:faketime), do: if(@preloads == [], do: absent("faketime"))

  def missing(:mount),
    do:
      unless(done?(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]),
        do: refused("mounts")
      )

  def missing(:memory_limit),
    do: unless(memory_groups(), do: refused("control groups with a memory limit"))

  def missing(:network) do
    cond do
      System.find_executable("ip") == nil -> absent("iproute2")
      not File.exists?("/dev/net/tun") -> "this machine has no /dev/net/tun"
      not done?(["unshare", "-n", "true"]) -> refused("network namespaces")
      true -> nil
    end
  end

  defp absent(package), do: "#{package} is not installed: apt-get install #{package}"
  defp refused(what), do: "this user may not make #{what}"

  defp done?([program | arguments]) do
    System.find_executable(program) != nil and
      match?({_said, 0}, System.cmd(program, arguments, stderr_to_stdout: true))
  end

  ## Clocks

  @doc "The variables of a process whose clock is moved by `set_clock/2`."
  def clock_variables(file) do
    %{
      "LD_PRELOAD" => hd(@preloads),
      "FAKETIME_TIMESTAMP_FILE" => file,
      # Seconds after which the file is read again: for every look at the clock it would cost too much.
      "FAKETIME_CACHE_DURATION" => "1",
      # What a clock that is set does not move.
      "FAKETIME_DONT_FAKE_MONOTONIC" => "1",
      "DONT_FAKE_MONOTONIC" => "1",
      # Otherwise waits for a condition end at once, and Python's threads turn in circles.
      "FAKETIME_FORCE_MONOTONIC_FIX" => "0"
    }
  end

  @doc "Moves the clock of all processes with these variables, such as by `+30d`."
  def set_clock(file, offset) do
    File.write!(file <> ".new", offset <> "\n")
    File.rename!(file <> ".new", file)
  end

  ## System calls

  @doc """
  Has system calls of a process fail or wait, by strace, while `fun` runs. `how` is what strace's
  `inject=` takes. Returns what `fun` returns, and how many calls it was.
  """
  def inject(os_pid, calls, how, fun) do
    log = Path.join(System.tmp_dir!(), "injected-#{System.unique_integer([:positive])}")
    rules = ["-e", "trace=#{calls}", "-e", "inject=#{calls}:#{how}", "-e", "signal=none"]
    arguments = ["-f", "-p", "#{os_pid}", "-o", log | rules]
    strace = System.find_executable("strace")

    port =
      Port.open({:spawn_executable, strace}, [
        :binary,
        :stderr_to_stdout,
        :exit_status,
        args: arguments
      ])

    {:os_pid, tracer} = Port.info(port, :os_pid)
    await_attached(port, "")
    result = detaching(port, tracer, fun)
    injected = log |> File.stream!() |> Enum.count(&(&1 =~ ~r/\((INJECTED|DELAYED)\)/))
    File.rm!(log)
    {result, injected}
  end

  defp detaching(port, tracer, fun) do
    fun.()
  after
    # It may have ended with the process.
    System.cmd("/bin/sh", ["-c", "kill -INT #{tracer}"], stderr_to_stdout: true)
    await_end(port)
  end

  defp await_attached(port, said) do
    receive do
      {^port, {:data, data}} ->
        unless said <> data =~ "attached", do: await_attached(port, said <> data)

      {^port, {:exit_status, status}} ->
        raise "strace ended with #{status}: #{said}"
    end
  end

  defp await_end(port) do
    receive do
      {^port, {:exit_status, _status}} -> :ok
      {^port, {:data, _data}} -> await_end(port)
    end
  end

  ## Memory

  @doc "Lets the processes of a group have so many bytes more than they have; returns what undoes it."
  def limit_memory(os_pids, more) do
    group = Path.join(memory_groups(), "vllm_bridge-#{System.unique_integer([:positive])}")
    File.mkdir!(group)
    {procs, limit} = {Path.join(group, "cgroup.procs"), limit_file(group)}
    for os_pid <- os_pids, do: File.write!(procs, "#{os_pid}")
    # What a process has it keeps in its old group: the new one counts from zero.
    File.write!(limit, "#{more}")

    fn ->
      FakeWorkerCase.wait_until(fn -> File.read!(procs) == "" end)
      File.rmdir!(group)
    end
  end

  defp limit_file(group) do
    Enum.find(
      for(name <- ~w(memory.limit_in_bytes memory.max), do: Path.join(group, name)),
      &File.exists?/1
    )
  end

  # The first of the two hierarchies where a group may be made, that has the controller.
  defp memory_groups do
    Enum.find(["/sys/fs/cgroup/memory", "/sys/fs/cgroup"], fn root ->
      try = Path.join(root, "vllm_bridge-try-#{System.pid()}")

      with :ok <- File.mkdir(try) do
        found = limit_file(try)
        File.rmdir!(try)
        found != nil
      else
        {:error, _reason} -> false
      end
    end)
  end

  ## Disks

  @doc """
  Mounts a file system of so many bytes and so many files in the memory, and returns what unmounts it. What
  is free is then filled.
  """
  def full_disk(path, options) do
    File.mkdir_p!(path)
    options = Enum.map_join(options, ",", fn {key, value} -> "#{key}=#{value}" end)
    {_said, 0} = System.cmd("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path])
    fill(path)

    fn ->
      {_said, 0} = System.cmd("umount", ["-l", path])
      File.rmdir!(path)
    end
  end

  defp fill(path) do
    file = File.open!(Path.join(path, "full"), [:write, :raw])
    write_on(file, :binary.copy(<<0>>, 4096))
    File.close(file)
  end

  defp write_on(file, block) do
    case :file.write(file, block) do
      :ok -> write_on(file, block)
      {:error, :enospc} -> :ok
    end
  end
end
