# The processes of an instance, found from its supervisor.

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
