# The processes of an instance, found from its supervisor, and those of its worker, as the kernel has them.

defmodule Soak.Processes do
  @doc "All processes below an instance, the supervisors among them."
  def all(instance) do
    case Process.whereis(instance) do
      nil -> []
      pid -> [pid | below(pid)]
    end
  end

  @doc "Those that are no supervisors."
  def servers(instance) do
    for pid <- all(instance), not supervisor?(pid), do: pid
  end

  @doc "A number of `/proc/PID/status`, such as `VmRSS` in KB."
  def status(pid, field) do
    [_all, number] = Regex.run(~r/^#{field}:\s+(\d+)/m, File.read!("/proc/#{pid}/status"))
    String.to_integer(number)
  end

  @doc "The processes of a group, as `{pid, command line}`."
  def group(leader) do
    for stat <- Path.wildcard("/proc/[0-9]*/stat"),
        {:ok, text} <- [File.read(stat)],
        # The name, in parentheses, may hold anything; what follows it does not.
        [_state, _parent, group | _] = text |> String.split(")") |> List.last() |> String.split(),
        group == to_string(leader) do
      folder = Path.dirname(stat)
      command = with {:error, _ended} <- File.read(Path.join(folder, "cmdline")), do: {:ok, ""}
      {Path.basename(folder), command |> elem(1) |> String.replace(<<0>>, " ")}
    end
  end

  defp below(supervisor) do
    for {_id, pid, type, _modules} <- Supervisor.which_children(supervisor),
        is_pid(pid),
        found <- [pid | if(type == :supervisor, do: below(pid), else: [])],
        do: found
  end

  defp supervisor?(pid) do
    {:dictionary, dictionary} = Process.info(pid, :dictionary)
    match?({:supervisor, _module, _arity}, dictionary[:"$initial_call"])
  end
end
