defmodule Vllm.Core.Connection.Resumption do
  @moduledoc false
  # What outlives a session that is lost, while the worker goes on: who owns which reference.
  #
  # A worker that was started elsewhere (`connect:`) keeps the references of a lost session for the grace
  # time of the client's hello. The next session takes them over with the key of the worker's hello. Here
  # the process of the connection ends with its session, and another is started. So the key and the
  # record of the owners are in a table of the instance's supervisor:
  #
  #     the session is open     the key, and a record without references
  #     it is lost              the key, and the record as the process had it when it ended
  #     the next one is open    its key; the record is in its process again
  #
  # If the process is killed, its record is lost. Then the next one takes the references over all the
  # same, and releases them.
  #
  # Both sides may have missed something: a reply, a release, the end of an owner. The worker says in its
  # hello what it holds, and what is not in the record is released. Owners are monitored again, which
  # tells of those that have ended. Messages of owners that come while there is no session wait in the
  # mailbox of the next process. Those that the last one has not read are read when it ends.

  alias Vllm.Core.Connection.{References, State}
  alias Vllm.Proto.{ClientHello, ServerHello}

  @typedoc "The table; `nil` for an instance with a worker of its own, which ends with its session."
  @type t :: :ets.table() | nil

  @doc "For a new instance. Belongs to the calling process."
  @spec new() :: t()
  def new, do: :ets.new(__MODULE__, [:public])

  @doc "The hello of the next session, but for the token."
  @spec hello(t(), non_neg_integer()) :: ClientHello.t()
  def hello(nil, _grace), do: %ClientHello{}

  def hello(table, grace) do
    {key, _kept} = find(table)
    %ClientHello{disconnect_grace_ms: grace, resume_key: key}
  end

  @doc "A session is open: returns its references, and the ids of those to release."
  @spec opened(t(), ServerHello.t(), non_neg_integer()) :: {References.t(), [References.id()]}
  def opened(nil, _hello, grace), do: {References.new(grace), []}

  def opened(table, hello, grace) do
    {_key, kept} = find(table)
    kept = if hello.resumed, do: kept, else: nothing()
    put(table, hello.resume_key, nothing())
    References.restore(kept, hello.held, grace)
  end

  @doc "The session is lost: keeps what outlives it. The calling process is that of the connection."
  @spec lost(State.t()) :: :ok
  def lost(%{resumption: nil}), do: :ok

  def lost(%{hello: hello} = state) do
    {:messages, unread} = Process.info(self(), :messages)
    references = Enum.reduce(unread, state.references, &read(&1, &2, hello.incarnation))
    put(state.resumption, hello.resume_key, References.keep(references))
  end

  # Without a key nothing can be resumed: the worker is of an earlier release, or no time is given.
  defp put(table, "", _kept), do: put(table, {"", nothing()})
  defp put(table, key, kept), do: put(table, {key, kept})

  defp put(table, record) do
    true = :ets.insert(table, {:record, record})
    :ok
  end

  defp find(table) do
    case :ets.lookup(table, :record) do
      [{:record, record}] -> record
      [] -> {"", nothing()}
    end
  end

  defp nothing, do: References.keep(%References{})

  # What owners and receivers have sent; see Vllm.Core.Call.Ownership.
  defp read({:received, reply_to, number, owner, link?}, references, _incarnation)
       when is_reference(reply_to) and is_integer(number) and is_pid(owner) and is_boolean(link?),
       do: References.received(references, reply_to, number, owner, link?)

  defp read({:share, incarnation, id, owner}, references, incarnation)
       when is_binary(id) and is_pid(owner),
       do: References.share(references, id, owner)

  defp read({:release, incarnation, id, owner, _engine?}, references, incarnation)
       when is_binary(id) and is_pid(owner) do
    case References.release(references, id, owner) do
      {_ids, references} -> references
      :not_owned -> references
    end
  end

  defp read({:refused, reply_to}, references, _incarnation) when is_reference(reply_to),
    do: withdraw(references, reply_to)

  defp read({:cancel, _id_or_alias, reply_to}, references, _incarnation)
       when is_reference(reply_to),
       do: withdraw(references, reply_to)

  defp read(_other, references, _incarnation), do: references

  defp withdraw(references, reply_to) do
    {_parcels, references} = References.withdraw(references, reply_to)
    references
  end
end
