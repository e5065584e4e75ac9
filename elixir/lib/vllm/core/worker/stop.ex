defmodule Vllm.Core.Worker.Stop do
  @moduledoc false
  # The end of a worker's process and of all that it leaves behind: processes, shared memory, files.

  # Asks, waits while the process is there, then sweeps its group. One script, by the shell, whose
  # kill is built in: not every container has the program. It asks the kernel and does not wait for
  # the port's exit status, which comes only when the last process with the worker's stdout has
  # gone: one of those may be what has to be swept. The group gets a second after the worker: its
  # processes die with it by themselves, and Python's resource tracker unlinks the shared memory
  # that they leave behind.
  @stop """
  kill -s TERM $1
  while kill -s 0 $1 && [ $2 -gt 0 ]; do sleep 0.05; set -- $1 $(($2 - 1)); done
  [ $2 -gt 0 ] || echo late >&3
  kill -s KILL $1
  n=20
  while kill -s 0 -- -$1 && [ $n -gt 0 ]; do sleep 0.05; n=$(($n - 1)); done
  kill -s KILL -- -$1
  """

  # Milliseconds of one sleep of the script.
  @tick 50

  @doc "`:late` if it was still there after `timeout` milliseconds and had to be killed."
  @spec run(pos_integer(), non_neg_integer()) :: :ok | :late
  def run(os_pid, timeout) do
    script = "exec 3>&1 >/dev/null 2>&1\n" <> @stop
    ticks = div(timeout, @tick) + 1

    case System.cmd("/bin/sh", ["-c", script, "sh", "#{os_pid}", "#{ticks}"]) do
      {"", _status} -> :ok
      {_late, _status} -> :late
    end
  end

  @doc "Removes the worker's folder, and the shared memory named after it."
  # See python_worker/belongings.py. Names are compared and not matched as a pattern: a folder may
  # have any name, and a `*` in it would mean the files of others.
  @spec remove_files(String.t(), String.t()) :: :ok
  def remove_files(folder, shared_memory \\ "/dev/shm") do
    prefix = Path.basename(folder) <> "_"

    # Only Linux has it.
    with {:ok, names} <- File.ls(shared_memory) do
      for name <- names,
          String.starts_with?(name, prefix),
          do: File.rm(Path.join(shared_memory, name))
    end

    File.rm_rf(folder)
    :ok
  end
end
