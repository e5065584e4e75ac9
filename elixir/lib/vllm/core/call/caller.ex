defmodule Vllm.Core.Call.Caller do
  @moduledoc false
  # The caller's side of a call: what runs in the process that makes it, and its messages to the
  # connection, up to the first reply.

  alias Vllm.Error
  alias Vllm.Core.Call.{Consumer, Producer}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Proto.{CallRequest, Failure}

  # The worker ends a call at its deadline. Only if it does not, the caller stops waiting by
  # itself, this much later.
  @patience 500

  @typedoc "Where a value that is handed over is waited for."
  @type receipt :: {{atom(), node()}, reference()}

  @type reply ::
          {:value, binary()}
          | {:handed, binary(), receipt()}
          | {:stream, Consumer.stream()}
          | {:failure, Failure.t()}
          | {:error, Error.t()}
          # what a worker must not send first
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
  # true, a value comes as `{:handed, payload, receipt}`: it ends with the caller until `received/1`.
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

  @doc "Whether the value of a call is something that runs, an engine or a request: nobody may lose it."
  @spec hands_over?(CallRequest.t()) :: boolean()
  def hands_over?(%CallRequest{target: {:class_name, _class}}), do: true
  def hands_over?(%CallRequest{method: method}), do: method == "add_request"

  @doc "The caller has what was handed over to it, and has seen to its owner."
  @spec received(receipt()) :: :ok
  def received({server, alias_ref}) do
    send(server, {:received, alias_ref})
    :ok
  end

  defp give_up(server, alias_ref, request, timeout) do
    Process.demonitor(alias_ref, [:flush])

    # A reply that came at the last moment counts; a stream that it opened is not to be cancelled.
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
    Error.new(:timeout, "no answer within #{timeout} ms; the worker did not even say so itself")
  end

  defp patience(:infinity), do: :infinity
  defp patience(timeout), do: timeout + @patience
end
