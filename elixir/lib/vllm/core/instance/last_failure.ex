defmodule Vllm.Core.Instance.LastFailure do
  @moduledoc false
  # Remembers why the worker of an instance ended, for calls that are made while there is none.
  #
  # The processes that knew the reason have ended with the worker, and the restart may take seconds or
  # have been given up. So it is kept in an ETS table that the application owns, until the next worker
  # serves. Where the application does not run, instances work too, but the reason is not kept.

  alias Vllm.Error

  # Milliseconds for another node to answer.
  @timeout 1_000

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

  @doc "A worker serves: the reason is that of an earlier one from now on."
  @spec clear(atom()) :: boolean()
  def clear(instance) do
    with true <- table?(),
         [{^instance, error}] <- :ets.take(__MODULE__, instance),
         do: :ets.insert(__MODULE__, {{:earlier, instance}, error}),
         else: (_none -> true)
  end

  @doc "Why there is no worker, or `nil`."
  @spec find({atom(), node()}) :: Error.t() | nil
  def find({instance, node}), do: ask(node, :look, [instance], nil)

  @doc "Why the worker before the one that serves has ended, or `nil`."
  @spec earlier({atom(), node()}) :: Error.t() | nil
  def earlier({instance, node}), do: ask(node, :look, [{:earlier, instance}], nil)

  @doc "Whether an instance runs, with or without a worker that serves."
  @spec running?({atom(), node()}) :: boolean()
  def running?({instance, node}), do: ask(node, :registered?, [instance], false)

  @doc false
  def look(key) do
    with true <- table?(), [{^key, error}] <- :ets.lookup(__MODULE__, key) do
      error
    else
      _unknown -> nil
    end
  end

  @doc false
  def registered?(instance), do: Process.whereis(instance) != nil

  # Only an error is being made here, so a node that does not answer, or has another version of this
  # library, is no failure.
  defp ask(node, function, arguments, _otherwise) when node in [node(), :nonode@nohost],
    do: apply(__MODULE__, function, arguments)

  defp ask(node, function, arguments, otherwise) do
    if node in Node.list([:visible, :hidden]),
      do: :erpc.call(node, __MODULE__, function, arguments, @timeout),
      else: otherwise
  catch
    _kind, _reason -> otherwise
  end

  defp table?, do: :ets.whereis(__MODULE__) != :undefined
end
