defmodule Vllm.Core.Demo.Leftovers do
  @moduledoc false
  # What a worker has on the machine while it runs, and what of it is left when it has stopped: the
  # processes of its group, and the folder of its socket.

  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Worker

  @type t :: %{processes: [pos_integer()], folder: Path.t()}

  @doc "What the worker of an instance has now."
  @spec of(atom()) :: t()
  def of(instance) do
    worker = Locator.process_name(instance, "Worker")
    {:ok, "unix:" <> socket, _token} = Worker.address(worker)
    %{processes: group(Worker.info(worker).os_pid), folder: Path.dirname(socket)}
  end

  @doc "What of it is still there."
  @spec left(t()) :: t() | %{processes: [], folder: nil}
  def left(%{processes: processes, folder: folder}) do
    %{
      processes: Enum.filter(processes, &File.exists?("/proc/#{&1}/stat")),
      folder: if(File.exists?(folder), do: folder)
    }
  end

  # The worker leads a process group, and every process of vLLM is in it.
  defp group(leader) do
    for path <- Path.wildcard("/proc/[0-9]*/stat"),
        {:ok, stat} <- [File.read(path)],
        # The name of the program, in parentheses, may hold anything.
        [_state, _parent, group | _] <- [
          stat |> String.split(") ") |> List.last() |> String.split()
        ],
        group == Integer.to_string(leader),
        do: path |> String.split("/") |> Enum.at(2) |> String.to_integer()
  end
end
