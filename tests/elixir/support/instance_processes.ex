defmodule Vllm.InstanceProcesses do
  @moduledoc false
  # The processes of an instance and of the application, found by walking the supervision trees and the
  # links of what they supervise. A kind that is added later is found as well.

  # Each with its kind: the module that it runs, or `{:supervisor, module}`. With those of the pool that
  # has started it, if there is one.
  def of(instance), do: walk(instance) ++ walk(pool(instance)) ++ walk(Vllm.Supervisor)

  # The name of that pool in tests.
  def pool(instance), do: Module.concat(instance, "Several")

  # Those that last as long as the instance: without tasks, which end with what they do.
  def lasting(instance) do
    tasks =
      for {_id, pid, _, _} <- Supervisor.which_children(Module.concat(instance, "Tasks")), do: pid

    for {kind, pid} <- walk(instance), pid not in tasks, do: {kind, pid}
  end

  def tasks, do: [Vllm.Stream, Vllm.Core.Call.Producer]

  defp walk(root) do
    case Process.whereis(root) do
      nil -> []
      pid -> pid |> visit([]) |> Enum.reverse()
    end
  end

  defp visit(pid, found) do
    if List.keymember?(found, pid, 1), do: found, else: enter(pid, kind(pid), found)
  end

  defp enter(_pid, nil, found), do: found

  # OTP answers for its own.
  defp enter(_pid, :pg, found), do: found

  defp enter(pid, {:supervisor, _module} = kind, found) do
    children = for {_id, child, _type, _modules} <- Supervisor.which_children(pid), do: child
    Enum.reduce(children, [{kind, pid} | found], &if(is_pid(&1), do: visit(&1, &2), else: &2))
  end

  defp enter(pid, kind, found) do
    links = with {:links, links} <- Process.info(pid, :links), do: Enum.filter(links, &is_pid/1)
    # The supervisor is among the links.
    linked = for link <- links || [], ours?(kind(link)), do: link
    Enum.reduce(linked, [{kind, pid} | found], &visit/2)
  end

  defp ours?(kind), do: is_atom(kind) and kind != nil and match?("Elixir.Vllm" <> _, "#{kind}")

  defp kind(pid) do
    with {:dictionary, dictionary} <- Process.info(pid, :dictionary) do
      case dictionary[:"$initial_call"] do
        {:supervisor, module, _arity} -> {:supervisor, module}
        {module, _function, _arity} -> module
        nil -> nil
      end
    end
  end
end
