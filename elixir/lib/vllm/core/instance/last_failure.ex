defmodule Vllm.Core.Instance.LastFailure do
  @moduledoc false
  # Remembers why the worker of an instance ended, for calls that are made while there is none.
  #
  # The processes that knew the reason have ended with the worker, and the restart may take seconds or
  # have been given up. So it is kept in an ETS table that the application owns, until the next worker
  # serves. Where the application does not run, instances work too, but the reason is not kept.

  alias Vllm.Error

  @doc "Makes the table. The calling process owns it."
  @spec init() :: :ok
  def init do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    :ok
  end

  @doc "Keeps why the worker of an instance ended or did not start."
  @spec put(atom(), Error.t()) :: boolean()
  def put(instance, error), do: table?() and :ets.insert(__MODULE__, {instance, error})

  @doc "As `put/2`, unless a reason is kept already: the first one is the cause of later ones."
  @spec put_new(atom(), Error.t()) :: boolean()
  def put_new(instance, error), do: table?() and :ets.insert_new(__MODULE__, {instance, error})

  @doc "Forgets the reason: a worker serves."
  @spec clear(atom()) :: boolean()
  def clear(instance), do: table?() and :ets.delete(__MODULE__, instance)

  @doc "The reason, or `nil`. Those of other nodes are not known here."
  @spec find({atom(), node()}) :: Error.t() | nil
  def find({instance, node}) when node == node() or node == :nonode@nohost do
    with true <- table?(), [{^instance, error}] <- :ets.lookup(__MODULE__, instance) do
      error
    else
      _unknown -> nil
    end
  end

  def find(_elsewhere), do: nil

  defp table?, do: :ets.whereis(__MODULE__) != :undefined
end
