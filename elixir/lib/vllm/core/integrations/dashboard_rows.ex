defmodule Vllm.Core.Integrations.DashboardRows do
  @moduledoc false
  # The rows of the page in Phoenix LiveDashboard: an engine each, or an instance without engines.

  alias Vllm.Core.StatusTable
  alias Vllm.Status

  @columns [:engine, :model, :state, :running, :waiting, :tokens_per_s, :kv_cache]

  # Milliseconds for a node to answer. The instances of a node are asked for 15 seconds at most, twice.
  @timeout 40_000

  @type row :: %{required(atom()) => String.t()}

  @doc "The status of a node, or a text that says why there is none."
  @spec status(node()) :: {:ok, Status.t()} | {:error, String.t()}
  def status(node) when node == node(), do: {:ok, Vllm.status()}

  def status(node) do
    {:ok, :erpc.call(node, Vllm, :status, [], @timeout)}
  catch
    # The node is gone, is too slow, or has no vllm_bridge.
    _kind, reason -> {:error, "#{node} does not answer: #{inspect(reason, limit: 5)}"}
  end

  @doc """
  The rows that a table of LiveDashboard asks for with its parameters, and how many match its search.
  """
  @spec select({:ok, Status.t()} | {:error, String.t()}, map()) ::
          {[row()], non_neg_integer()}
  def select({:error, text}, _parameters), do: {[row("-", text)], 1}

  def select({:ok, %Status{instances: instances}}, parameters) do
    rows =
      for instance <- instances, row <- rows(instance), found?(row, parameters[:search]), do: row

    sorted = Enum.sort_by(rows, & &1[parameters[:sort_by]], parameters[:sort_dir] || :asc)
    limit = parameters[:limit]
    {if(limit, do: Enum.take(sorted, limit), else: sorted), length(rows)}
  end

  defp rows(%{error: nil, engines: []} = instance),
    do: [row(inspect(instance.name), "no engine")]

  defp rows(%{error: nil} = instance) do
    for engine <- instance.engines do
      @columns
      |> Enum.zip(StatusTable.cells(engine))
      |> Map.new()
      |> Map.put(:instance, inspect(instance.name))
    end
  end

  defp rows(%{error: error} = instance), do: [row(inspect(instance.name), error.message)]

  defp row(instance, state) do
    @columns |> Map.new(&{&1, "-"}) |> Map.merge(%{instance: instance, state: state})
  end

  defp found?(_row, search) when search in [nil, ""], do: true

  defp found?(row, search) do
    search = String.downcase(search)
    Enum.any?(Map.values(row), &String.contains?(String.downcase(&1), search))
  end
end
