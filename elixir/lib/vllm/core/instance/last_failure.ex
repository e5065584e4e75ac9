defmodule Vllm.Core.Instance.LastFailure do
  @moduledoc false
  # Why the worker of an instance is gone, for those who call while there is none.
  #
  # The processes that knew it have ended with it, and a restart may take seconds or have been given
  # up. So it stands in a table of the application's, until the next worker serves. An instance works
  # without the application as well, only that nobody remembers.

  alias Vllm.Error

  @doc "Makes the table; the process that calls owns it."
  @spec init() :: :ok
  def init do
    :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])
    :ok
  end

  @doc "The worker of an instance has ended, or did not start."
  @spec put(atom(), Error.t()) :: boolean()
  def put(instance, error), do: table?() and :ets.insert(__MODULE__, {instance, error})

  @doc "As `put/2`, unless something is known that came first: it is the cause of what follows."
  @spec put_new(atom(), Error.t()) :: boolean()
  def put_new(instance, error), do: table?() and :ets.insert_new(__MODULE__, {instance, error})

  @doc "A worker serves."
  @spec clear(atom()) :: boolean()
  def clear(instance), do: table?() and :ets.delete(__MODULE__, instance)

  @doc "The reason. Another node's is not known here."
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
