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
      processes: Enum.filter(processes, &(fields("/proc/#{&1}/stat") |> runs?())),
      folder: if(File.exists?(folder), do: folder)
    }
  end

  # Of one that has ended and was not yet asked for its exit status only that is left.
  defp runs?([state | _]), do: state not in ["Z", "X"]
  defp runs?([]), do: false

  # The worker leads a process group, and every process of vLLM is in it.
  defp group(leader) do
    for path <- Path.wildcard("/proc/[0-9]*/stat"),
        [_state, _parent, group | _] = fields <- [fields(path)],
        group == Integer.to_string(leader) and runs?(fields),
        do: path |> String.split("/") |> Enum.at(2) |> String.to_integer()
  end

  # What follows the name of the program, which is in parentheses and may hold anything.
  defp fields(path) do
    case File.read(path) do
      {:ok, stat} -> stat |> String.split(") ") |> List.last() |> String.split()
      {:error, _reason} -> []
    end
  end
end
