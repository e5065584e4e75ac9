defmodule Vllm.Core.Call.Consumer do
  @moduledoc false
  # Consumes a stream: what runs in the process that takes the items, and its messages to the connection.

  alias Vllm.Error
  alias Vllm.Core.Call.Ownership
  alias Vllm.Core.Codec.Failure
  alias Vllm.Core.Instance.Locator

  # The worker ends a stream at its deadline. If it does not, the consumer stops waiting so many
  # milliseconds later.
  @patience 500

  # half: the number of items after which new credit is given; taken: the items since then
  # owner: the process that owns references in the items
  @enforce_keys [:alias, :connection, :id, :half, :deadline, :instance, :owner]
  defstruct [:alias, :connection, :id, :half, :deadline, :instance, :owner, taken: 0]

  @typedoc "A stream: the connection that serves it and its number there."
  @type stream :: {pid(), pos_integer()}

  @type t :: %__MODULE__{
          alias: reference(),
          connection: pid(),
          id: pos_integer(),
          half: pos_integer(),
          deadline: integer() | :infinity,
          instance: Locator.instance(),
          owner: pid(),
          taken: non_neg_integer()
        }

  @doc """
  Makes the calling process the only consumer of a stream, on behalf of `owner`. From now on the end of
  either cancels the stream.
  """
  @spec attach(
          stream(),
          Locator.instance(),
          pos_integer(),
          integer() | :infinity,
          pid()
        ) :: t()
  def attach({connection, id}, instance, window, deadline, owner) do
    alias_ref = :erlang.monitor(:process, connection, alias: :demonitor)
    send(connection, {:attach, id, alias_ref, Enum.uniq([self(), owner])})

    %__MODULE__{
      alias: alias_ref,
      connection: connection,
      id: id,
      half: max(div(window, 2), 1),
      deadline: deadline,
      instance: instance,
      owner: owner
    }
  end

  @doc """
  Waits for the next item of a stream. If it holds references it comes with a receipt, for
  `confirm/2`.
  """
  @spec next(t()) ::
          {:item, binary(), Ownership.receipt() | nil, t()} | :done | {:error, Error.t()}
  def next(%__MODULE__{alias: alias_ref} = consumer) do
    receive do
      {^alias_ref, {:item, payload}} ->
        {:item, payload, nil, replenish(consumer)}

      {^alias_ref, {:handed, receipt, {:item, payload}}} ->
        {:item, payload, receipt, replenish(consumer)}

      {^alias_ref, last} ->
        Process.demonitor(alias_ref, [:flush])
        last(last)

      {:DOWN, ^alias_ref, :process, _pid, reason} ->
        {:error, Locator.down(consumer.instance, reason)}
    after
      remaining(consumer.deadline) ->
        close(consumer)
        {:error, Error.new(:timeout, "the stream did not end within its deadline")}
    end
  end

  @doc "Confirms an item that has been decoded. What is not confirmed is released by `close/1`."
  @spec confirm(t(), Ownership.receipt() | nil) :: :ok
  def confirm(_consumer, nil), do: :ok
  def confirm(%{owner: owner}, receipt), do: Ownership.received(receipt, owner)

  defp last({:end, _}), do: :done
  defp last({:failure, failure}), do: {:error, Failure.from_proto(failure)}
  defp last({:error, error}), do: {:error, error}

  defp last(_other),
    do:
      {:error,
       Error.new(
         :protocol,
         "the worker sent a reply that does not belong into a stream; this is a bug in vllm_bridge"
       )}

  # Given for half of the window at a time, so that a consumer that keeps up never makes the stream
  # wait.
  defp replenish(%{taken: taken, half: half} = consumer) when taken + 1 < half do
    %{consumer | taken: taken + 1}
  end

  defp replenish(%{connection: connection, id: id, half: half} = consumer) do
    send(connection, {:credit, id, half})
    %{consumer | taken: 0}
  end

  @doc "Ends an enumeration early: aborts the request and removes its messages from the mailbox."
  @spec close(t()) :: :ok
  def close(%__MODULE__{alias: alias_ref, connection: connection, id: id}) do
    Process.demonitor(alias_ref, [:flush])
    send(connection, {:cancel, id, alias_ref})
    drain(alias_ref)
  end

  @doc "Cancels a stream from any process. Does nothing when it is over."
  @spec cancel(stream()) :: :ok
  def cancel({connection, id}) do
    send(connection, {:cancel, id})
    :ok
  end

  defp drain(alias_ref) do
    receive do
      {^alias_ref, _} -> drain(alias_ref)
    after
      0 -> :ok
    end
  end

  defp remaining(:infinity), do: :infinity

  defp remaining(deadline),
    do: max(deadline + @patience - System.monotonic_time(:millisecond), 0)
end
