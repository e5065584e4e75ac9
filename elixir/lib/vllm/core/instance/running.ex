defmodule Vllm.Core.Instance.Running do
  @moduledoc false
  # Knows the instances that run on this node, for `Vllm.status/0`.
  #
  # There is no registry of instances: their processes have names. So each supervisor of an instance
  # writes its name into an ETS table that the application owns. An entry counts as long as that process
  # has that name; others are removed when the table is read.

  @doc "Makes the table. The calling process owns it."
  @spec init() :: :ok
  def init do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    :ok
  end

  @doc "The calling process is the supervisor of this instance."
  @spec put(atom()) :: boolean()
  def put(instance), do: table?() and :ets.insert(__MODULE__, {instance, self()})

  @doc "The names of the instances, sorted."
  @spec names() :: [atom()]
  def names do
    entries = if table?(), do: :ets.tab2list(__MODULE__), else: []

    {running, ended} =
      Enum.split_with(entries, fn {name, pid} -> Process.whereis(name) == pid end)

    for entry <- ended, do: :ets.delete_object(__MODULE__, entry)
    running |> Enum.map(&elem(&1, 0)) |> Enum.sort()
  end

  defp table?, do: :ets.whereis(__MODULE__) != :undefined
end
