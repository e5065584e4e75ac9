defmodule Vllm.Core.Call.Caller do
  @moduledoc false
  # Makes a call: what runs in the calling process, and its messages to the connection, up to the first
  # reply.

  alias Vllm.Error
  alias Vllm.Core.Call.{Consumer, Ownership, Producer}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Proto.{CallRequest, Failure}

  # The worker ends a call at its deadline. If it does not, the caller stops waiting so many
  # milliseconds later.
  @patience 500

  @type reply ::
          {:value, binary()}
          # the value holds references: the caller has to confirm it, or to refuse it
          | {:handed, Ownership.receipt(), {:value, binary()}}
          | {:stream, Consumer.stream()}
          | {:failure, Failure.t()}
          | {:error, Error.t()}
          # not allowed as the first reply
          | {:item, binary()}
          | {:end, term()}

  @doc """
  Sends a request and waits for its first reply. `window` is how many items a stream may be ahead
  of its consumer, `enumerable` the argument that is a stream, if there is one.
  """
  @spec call(
          Locator.instance(),
          CallRequest.t(),
          timeout(),
          pos_integer(),
          Enumerable.t() | nil
        ) :: reply()
  def call(instance, %CallRequest{} = request, timeout, window, enumerable \\ nil) do
    case Locator.server(instance, "Connection") do
      {:ok, server} when enumerable == nil ->
        run(server, instance, request, timeout, window, nil)

      {:ok, server} ->
        Producer.during(enumerable, server, &run(server, instance, request, timeout, window, &1))

      :error ->
        {:error, Locator.down(instance, :noconnection)}
    end
  end

  # `producer` enumerates the argument that is a stream, if there is one.
  defp run(server, instance, request, timeout, window, producer) do
    alias_ref = :erlang.monitor(:process, server, alias: :reply_demonitor)
    send(server, {:call, alias_ref, self(), request, window, producer})

    receive do
      {^alias_ref, reply} -> reply
      {:DOWN, ^alias_ref, :process, _server, reason} -> {:error, Locator.down(instance, reason)}
    after
      patience(timeout) -> give_up(server, alias_ref, timeout)
    end
  end

  defp give_up(server, alias_ref, timeout) do
    Process.demonitor(alias_ref, [:flush])

    # A reply that has arrived meanwhile counts: the stream it opened must not be cancelled.
    receive do
      {^alias_ref, reply} ->
        reply
    after
      0 ->
        # A reply that comes later is dropped by the runtime, and the connection releases its references.
        send(server, {:cancel, alias_ref, alias_ref})
        {:error, overdue(timeout)}
    end
  end

  defp overdue(timeout) do
    Error.new(
      :timeout,
      "the worker did not answer within #{timeout} ms, nor report that the deadline has passed"
    )
  end

  defp patience(:infinity), do: :infinity
  defp patience(timeout), do: timeout + @patience
end
