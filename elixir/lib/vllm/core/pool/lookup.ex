defmodule Vllm.Core.Pool.Lookup do
  @moduledoc false
  # Finds an engine by its name, in an instance or in a pool: what `{MyApp.Vllm, :chat}` means.
  #
  # A pool has an ETS table with the members of each engine, which every process reads directly. Its
  # process, Vllm.Core.Pool.Members, writes it and answers those who have to wait.

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Instance.{Declared, Locator}
  alias Vllm.Core.Pool.Choice

  @part "Pool"

  @doc "The name of a pool's process, and of its table."
  @spec process_name(atom()) :: atom()
  def process_name(pool), do: Locator.process_name(pool, @part)

  @doc "Whether a pool of this name runs on this node."
  @spec pool?(atom()) :: boolean()
  def pool?(name), do: :ets.whereis(process_name(name)) != :undefined

  @doc "The engine of an instance, or one of a pool: that with the least load."
  @spec engine(Locator.instance(), atom(), timeout()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def engine({place, node} = location, name, timeout) do
    with :unknown <- Declared.ready(location, name) do
      if node == node() and pool?(place),
        do: pick(place, name, nil, timeout),
        else: Declared.fetch(location, name, timeout)
    end
  end

  @doc "An engine of a pool. Waits while no member has it ready and one is building it."
  @spec pick(atom(), atom(), Choice.affinity(), timeout()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def pick(pool, engine, affinity, timeout) do
    with {:ok, member} <- member(pool, engine, affinity, timeout), do: {:ok, member.ref}
  end

  @doc "As `pick/4`, and returns the member."
  @spec member(atom(), atom(), Choice.affinity(), timeout()) ::
          {:ok, Choice.t()} | {:error, Error.t()}
  def member(pool, engine, affinity, timeout) do
    case choose(pool, engine, affinity, []) do
      nil ->
        # It may be lost again before it is chosen: then the error says so.
        with :ok <- await(pool, engine, timeout), do: chosen(pool, engine, affinity)

      member ->
        {:ok, member}
    end
  end

  @doc "A member that has the engine ready and was not tried, or nil."
  @spec choose(atom(), atom(), Choice.affinity(), [Locator.instance()]) :: Choice.t() | nil
  def choose(pool, engine, affinity, tried) do
    member = pool |> members(engine) |> Choice.choose(affinity, tried)
    if member, do: Choice.sent(member)
    member
  end

  @doc "The members that have an engine ready."
  @spec members(atom(), atom()) :: [Choice.t()]
  def members(pool, engine) do
    case :ets.lookup(process_name(pool), engine) do
      [{^engine, members}] -> members
      [] -> []
    end
  rescue
    # There is no table: the pool is being started again, or was stopped.
    ArgumentError -> []
  end

  @doc "What the pool's process knows of its members."
  @spec known(atom()) :: {:ok, [map()]} | {:error, Error.t()}
  def known(pool), do: call(pool, :members, 5_000)

  defp chosen(pool, engine, affinity) do
    case choose(pool, engine, affinity, []) do
      nil ->
        {:error,
         Error.new(
           :worker_down,
           "#{inspect(pool)} has lost its last member with the engine #{inspect(engine)}"
         )}

      member ->
        {:ok, member}
    end
  end

  defp await(pool, engine, timeout) do
    with {:ok, answer} <- call(pool, {:await, engine}, timeout), do: answer
  end

  defp call(pool, message, timeout) do
    {:ok, GenServer.call(process_name(pool), message, timeout)}
  catch
    :exit, {:timeout, _call} -> {:error, late(pool, message, timeout)}
    :exit, _ended -> {:error, not_running(pool)}
  end

  defp late(pool, {:await, engine}, timeout) do
    Error.new(
      :timeout,
      "no member of #{inspect(pool)} had the engine #{inspect(engine)} ready within #{timeout} ms"
    )
  end

  defp late(pool, _message, timeout),
    do: Error.new(:timeout, "#{inspect(pool)} did not answer within #{timeout} ms")

  defp not_running(pool) do
    Error.new(
      :worker_down,
      "the pool #{inspect(pool)} is not running on this node; put {Vllm.Pool, name: #{inspect(pool)}} " <>
        "into a supervision tree"
    )
  end
end
