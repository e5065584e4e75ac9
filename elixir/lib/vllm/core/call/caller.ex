defmodule Vllm.Core.Call.Caller do
  @moduledoc false
  # Makes a call: what runs in the calling process, and its messages to the connection, up to the first
  # reply.

  alias Vllm.Error
  alias Vllm.Core.Call.{Consumer, Producer}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Proto.{CallRequest, Failure}

  # The worker ends a call at its deadline. If it does not, the caller stops waiting so many
  # milliseconds later.
  @patience 500

  @typedoc "What the caller confirms a value with that was handed over to it."
  @type receipt :: {{atom(), node()}, reference()}

  @type reply ::
          {:value, binary()}
          | {:handed, binary(), receipt()}
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

  # `producer` enumerates the argument that is a stream, if there is one. Where `hands_over?/1` is
  # true, the reply is `{:handed, payload, receipt}`. Until `received/1` confirms it, the value is
  # ended when the caller ends.
  defp run(server, instance, request, timeout, window, producer) do
    alias_ref = :erlang.monitor(:process, server, alias: :reply_demonitor)
    send(server, {:call, alias_ref, self(), request, window, producer})

    receive do
      {^alias_ref, reply} -> with_receipt(reply, request, {server, alias_ref})
      {:DOWN, ^alias_ref, :process, _server, reason} -> {:error, Locator.down(instance, reason)}
    after
      patience(timeout) -> give_up(server, alias_ref, request, timeout)
    end
  end

  defp with_receipt({:value, payload} = reply, request, receipt),
    do: if(hands_over?(request), do: {:handed, payload, receipt}, else: reply)

  defp with_receipt(reply, _request, _receipt), do: reply

  @doc "Whether the value of a call is an engine or a request, which must not run without an owner."
  @spec hands_over?(CallRequest.t()) :: boolean()
  def hands_over?(%CallRequest{target: {:class_name, _class}}), do: true
  def hands_over?(%CallRequest{method: method}), do: method == "add_request"

  @doc "Confirms that the caller has the value that was handed over, and has tracked it."
  @spec received(receipt()) :: :ok
  def received({server, alias_ref}) do
    send(server, {:received, alias_ref})
    :ok
  end

  defp give_up(server, alias_ref, request, timeout) do
    Process.demonitor(alias_ref, [:flush])

    # A reply that has arrived meanwhile counts: the stream it opened must not be cancelled.
    receive do
      {^alias_ref, reply} ->
        with_receipt(reply, request, {server, alias_ref})
    after
      0 ->
        send(server, {:cancel, alias_ref})
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
