defmodule Vllm.Exchange do
  @moduledoc false
  # The caller's side of a call: what runs in the process that makes it, and its messages to the
  # connection, up to the first reply.

  alias Vllm.{Connection, Error, Instance}
  alias Vllm.Proto.CallRequest

  # The worker ends a call at its deadline. Only if it does not, the caller stops waiting by
  # itself, this much later.
  @patience 500

  @doc """
  Sends a request and waits for its first reply. `producer` enumerates the argument that is a
  stream, if there is one.
  """
  @spec run(
          {atom(), node()},
          Connection.instance(),
          CallRequest.t(),
          timeout(),
          pos_integer(),
          pid() | nil
        ) :: Connection.reply()
  def run(server, instance, request, timeout, window, producer) do
    alias_ref = :erlang.monitor(:process, server, alias: :reply_demonitor)
    send(server, {:call, alias_ref, self(), request, window, producer})

    receive do
      {^alias_ref, reply} -> reply
      {:DOWN, ^alias_ref, :process, _server, reason} -> {:error, Instance.down(instance, reason)}
    after
      patience(timeout) -> give_up(server, alias_ref, timeout)
    end
  end

  defp give_up(server, alias_ref, timeout) do
    Process.demonitor(alias_ref, [:flush])

    # A reply that came at the last moment counts; a stream that it opened is not to be cancelled.
    receive do
      {^alias_ref, reply} ->
        reply
    after
      0 ->
        send(server, {:cancel, alias_ref})
        {:error, overdue(timeout)}
    end
  end

  defp overdue(timeout) do
    Error.new(:timeout, "no answer within #{timeout} ms; the worker did not even say so itself")
  end

  defp patience(:infinity), do: :infinity
  defp patience(timeout), do: timeout + @patience
end
