defmodule Vllm.Core.Call.Consumer do
  @moduledoc false
  # The consumer's side of a stream: what runs in the process that takes the items, and its messages
  # to the connection, which serves the stream.

  alias Vllm.Error
  alias Vllm.Core.Codec.Failure
  alias Vllm.Core.Instance.Locator

  # The worker ends a stream at its deadline. Only if it does not, the consumer stops waiting by
  # itself, this much later.
  @patience 500

  # `half` is the number of items after which credit is given, `taken` counts those since.
  @enforce_keys [:alias, :connection, :id, :half, :deadline, :instance]
  defstruct [:alias, :connection, :id, :half, :deadline, :instance, taken: 0]

  @typedoc "A stream: the connection that serves it and its number there."
  @type stream :: {pid(), pos_integer()}

  @type t :: %__MODULE__{
          alias: reference(),
          connection: pid(),
          id: pos_integer(),
          half: pos_integer(),
          deadline: integer() | :infinity,
          instance: Locator.instance(),
          taken: non_neg_integer()
        }

  @doc """
  Makes the calling process the one consumer of a stream. The death of the calling process, or of
  one in `watch`, cancels the stream from now on.
  """
  @spec attach(
          stream(),
          Locator.instance(),
          pos_integer(),
          integer() | :infinity,
          [pid()]
        ) :: t()
  def attach({connection, id}, instance, window, deadline, watch) do
    alias_ref = :erlang.monitor(:process, connection, alias: :demonitor)
    send(connection, {:attach, id, alias_ref, [self() | watch]})

    %__MODULE__{
      alias: alias_ref,
      connection: connection,
      id: id,
      half: max(div(window, 2), 1),
      deadline: deadline,
      instance: instance
    }
  end

  @doc "Waits for the next item of a stream."
  @spec next(t()) :: {:item, binary(), t()} | :done | {:error, Error.t()}
  def next(%__MODULE__{alias: alias_ref} = subscription) do
    receive do
      {^alias_ref, {:item, payload}} ->
        {:item, payload, replenish(subscription)}

      {^alias_ref, last} ->
        Process.demonitor(alias_ref, [:flush])
        last(last)

      {:DOWN, ^alias_ref, :process, _pid, reason} ->
        {:error, Locator.down(subscription.instance, reason)}
    after
      remaining(subscription.deadline) ->
        close(subscription)
        {:error, Error.new(:timeout, "the stream did not end within its deadline")}
    end
  end

  defp last({:end, _}), do: :done
  defp last({:failure, failure}), do: {:error, Failure.from_proto(failure)}
  defp last({:error, error}), do: {:error, error}
  defp last(_other), do: {:error, Error.new(:protocol, "the worker broke the order of a stream")}

  # In halves, so that a stream whose consumer keeps up never waits for credit.
  defp replenish(%{taken: taken, half: half} = subscription) when taken + 1 < half do
    %{subscription | taken: taken + 1}
  end

  defp replenish(%{connection: connection, id: id, half: half} = subscription) do
    send(connection, {:credit, id, half})
    %{subscription | taken: 0}
  end

  @doc "Ends an enumeration early: the request is aborted and nothing of it stays in the mailbox."
  @spec close(t()) :: :ok
  def close(%__MODULE__{alias: alias_ref, connection: connection, id: id}) do
    Process.demonitor(alias_ref, [:flush])
    send(connection, {:cancel, id})
    drain(alias_ref)
  end

  @doc "Cancels a stream, whoever consumes it. Harmless when it is over."
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
