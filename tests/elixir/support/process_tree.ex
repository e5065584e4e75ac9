defmodule Vllm.ProcessTree do
  @moduledoc false
  # The operating system processes and the files of a worker. Recorded while it runs, to find out later
  # what it has left behind.

  import Vllm.BridgeCase, only: [alive?: 1]
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  @enforce_keys [:worker, :pids, :folder]
  defstruct [:worker, :pids, :folder]

  def of(instance) do
    server = Vllm.Core.Instance.Locator.process_name(instance, "Worker")
    %{os_pid: worker} = Vllm.Core.Worker.info(server)
    {:ok, "unix:" <> socket, _token} = Vllm.Core.Worker.address(server)
    pids = for {pid, _command} <- Vllm.VllmEngine.group(worker), do: String.to_integer(pid)
    %__MODULE__{worker: worker, pids: pids, folder: Path.dirname(socket)}
  end

  # As `of/1`, of a worker that is starting or restarting.
  def find(instance) do
    of(instance)
  catch
    :exit, _not_there -> nil
  end

  @doc "Where the shared memory is that its processes have open."
  def shared_memory(tree) do
    for pid <- tree.pids,
        {:ok, maps} <- [File.read("/proc/#{pid}/maps")],
        [path] <- Regex.scan(~r"/dev/shm/\S+", maps),
        # Semaphores are unlinked as soon as they are made.
        not String.starts_with?(path, "/dev/shm/sem."),
        uniq: true,
        do: path
  end

  @doc "What there still is of it."
  def left(tree) do
    Enum.filter(tree.pids, &alive?/1) ++
      Path.wildcard("/dev/shm/#{Path.basename(tree.folder)}_*") ++
      Enum.filter([tree.folder], &File.exists?/1)
  end

  def await_gone(tree), do: wait_until(fn -> left(tree) == [] end)

  def signal(os_pid, name), do: {_, 0} = System.cmd("/bin/sh", ["-c", "kill -#{name} #{os_pid}"])
end
