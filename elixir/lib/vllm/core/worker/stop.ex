defmodule Vllm.Core.Worker.Stop do
  @moduledoc false
  # Stops a worker's process and removes what it leaves behind: processes, shared memory, files.

  # Sends SIGTERM, waits until the process has ended, then kills its process group. A shell script,
  # because kill is built into the shell and some containers lack the program. It polls the kernel and
  # does not wait for the port's exit status: that arrives only when the last process that holds the
  # worker's stdout has ended, and that process may be one to kill. The group has a second after the
  # worker: its processes end by themselves then, and Python's resource tracker unlinks their shared
  # memory.
  @stop """
  kill -s TERM $1
  while kill -s 0 $1 && [ $2 -gt 0 ]; do sleep 0.05; set -- $1 $(($2 - 1)); done
  [ $2 -gt 0 ] || echo late >&3
  kill -s KILL $1
  n=20
  while kill -s 0 -- -$1 && [ $n -gt 0 ]; do sleep 0.05; n=$(($n - 1)); done
  kill -s KILL -- -$1
  """

  # Milliseconds that the script sleeps at a time.
  @tick 50

  @doc "Stops a worker. Returns `:late` if it had not ended after `timeout` milliseconds and was killed."
  @spec run(pos_integer(), non_neg_integer()) :: :ok | :late
  def run(os_pid, timeout) do
    script = "exec 3>&1 >/dev/null 2>&1\n" <> @stop
    ticks = div(timeout, @tick) + 1

    case System.cmd("/bin/sh", ["-c", script, "sh", "#{os_pid}", "#{ticks}"]) do
      {"", _status} -> :ok
      {_late, _status} -> :late
    end
  end

  @doc "Whether a process has ended. A zombie has. Only Linux tells; elsewhere it is not known."
  @spec ended?(pos_integer()) :: boolean()
  def ended?(os_pid) do
    case File.read("/proc/#{os_pid}/stat") do
      {:ok, stat} -> stat =~ ~r/\) [ZX] /
      {:error, _gone} -> File.exists?("/proc/self/stat")
    end
  end

  @doc "Removes the worker's folder, and the shared memory that is named after it."
  # The worker gives its shared memory the folder's name as a prefix. The names are compared and not
  # matched as a pattern: a `*` in the folder's name would match the files of other workers.
  @spec remove_files(String.t(), String.t()) :: :ok
  def remove_files(folder, shared_memory \\ "/dev/shm") do
    prefix = Path.basename(folder) <> "_"

    # Only Linux has this folder.
    with {:ok, names} <- File.ls(shared_memory) do
      for name <- names,
          String.starts_with?(name, prefix),
          do: File.rm(Path.join(shared_memory, name))
    end

    File.rm_rf(folder)
    :ok
  end
end
