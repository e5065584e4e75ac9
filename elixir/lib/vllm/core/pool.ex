defmodule Vllm.Core.Pool do
  @moduledoc false
  # The supervision tree of a pool on one node:
  #
  #     Pool, registered under the pool's name                     one_for_one
  #     ├── Members            what the members have, and the table that callers choose from
  #     └── Keeper …           one for each instance that the pool starts
  #
  # The keepers are stopped first: while the instances drain, the pool sends them nothing.

  use Supervisor

  alias Vllm.Error
  alias Vllm.Core.{Instance, Options, RedactedServer, RedactedSupervisor}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Pool.{Keeper, Members}

  @table [
    {:name, :instance, :required,
     "the pool's name. It is used where the name of an instance is, so no instance may have it."},
    {:members, :members, [],
     "instances of this pool: the name of one on this node, `{name, node}` for one on another, and the " <>
       "options of one (a keyword list, see `Vllm`), which the pool starts and supervises. It may " <>
       "leave out `:name`. Instances with the option `pool:` are members without being listed."}
  ]

  @doc "The options, as documentation."
  @spec options_docs() :: String.t()
  def options_docs, do: Options.docs(@table)

  @doc "Starts a pool. Its own instances start after that."
  @spec start_link(keyword()) :: Supervisor.on_start() | {:error, Error.t()}
  def start_link(options) do
    with {:ok, options} <- Options.validate(@table, options, "the options of Vllm.Pool"),
         {own, names} = Enum.split_with(options.members, &is_list/1),
         own = named(own, options.name),
         {:ok, listed} <- located(names),
         :ok <- check_names(own, listed),
         :ok <- check_own(own) do
      RedactedSupervisor.start_link(__MODULE__, {options.name, listed, own}, options.name)
    end
  end

  defp named(own, pool) do
    for {options, number} <- Enum.with_index(own, 1) do
      options
      |> Keyword.put_new(:name, Locator.process_name(pool, "Member#{number}"))
      |> Keyword.put(:pool, pool)
    end
  end

  defp located(names) do
    Enum.reduce_while(names, {:ok, []}, fn name, {:ok, located} ->
      case Locator.locate(name) do
        {:ok, instance} -> {:cont, {:ok, located ++ [instance]}}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
  end

  defp check_names(own, listed) do
    all = listed ++ for(options <- own, do: {options[:name], node()})

    case all -- Enum.uniq(all) do
      [] ->
        :ok

      [{name, _node} | _] ->
        {:error,
         Error.new(:invalid, "the member #{inspect(name)} is given twice",
           details: %{"option" => "members"}
         )}
    end
  end

  # One that can never start is an error of the pool, and not of its first request.
  defp check_own(own) do
    Enum.find_value(own, :ok, fn options ->
      with {:ok, _valid} <- Instance.validate(options), do: nil
    end)
  end

  @impl true
  def init({pool, listed, own}) do
    place = &{Keyword.fetch!(&1, :name), node()}
    engines = &Keyword.keys(Keyword.get(&1, :engines, []))

    members =
      {Members, {pool, listed, for(options <- own, do: {place.(options), engines.(options)})}}

    children = [members | for(options <- own, do: {Keeper, {pool, options}})]
    Supervisor.init(Enum.map(children, &RedactedServer.child/1), strategy: :one_for_one)
  end
end
