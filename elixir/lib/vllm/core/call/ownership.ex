defmodule Vllm.Core.Call.Ownership do
  @moduledoc false
  # What a process tells the connection about references: that it has received some, that another
  # process owns one too, that it owns one no more. The connection keeps the record
  # (Vllm.Core.Connection.References). All messages of one process arrive in their order.

  alias Vllm.Ref
  alias Vllm.Core.Instance.Locator

  # The classes whose objects live until they are shut down.
  @engines ["AsyncLLM", "LLM"]

  @typedoc "What the receiver of a reply confirms it with: the connection, the alias and a number."
  @type receipt ::
          {connection :: {atom(), node()}, reply_to :: reference(), number :: pos_integer()}

  @doc """
  Confirms a reply that has been decoded. From now on `owner` owns the references in it. An engine that
  the call has built has no owner; with `link?` it is shut down when `owner` ends.
  """
  @spec received(receipt(), pid(), boolean()) :: :ok
  def received({connection, reply_to, number}, owner, link? \\ false) do
    send(connection, {:received, reply_to, number, owner, link?})
    :ok
  end

  @doc "Refuses a reply that cannot be decoded: what it holds is released."
  @spec refused(receipt()) :: :ok
  def refused({connection, reply_to, _number}) do
    send(connection, {:refused, reply_to})
    :ok
  end

  @doc "Adds an owner."
  @spec share(Ref.t(), pid()) :: :ok
  def share(%Ref{} = ref, owner), do: tell(ref, {:share, ref.incarnation, ref.id, owner})

  @doc """
  Ends the ownership of the calling process. The reference of an engine that it does not own, as those
  who build one do not, is released once.
  """
  @spec release(Ref.t()) :: :ok
  def release(%Ref{} = ref),
    do: tell(ref, {:release, ref.incarnation, ref.id, self(), ref.type in @engines})

  # If the connection has ended, so have the objects.
  defp tell(%Ref{instance: instance}, message) do
    with {:ok, server} <- Locator.server(instance, "Connection"), do: send(server, message)
    :ok
  end
end
