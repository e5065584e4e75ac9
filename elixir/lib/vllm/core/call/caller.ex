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

  @typedoc "Called with each progress of the call before its reply, and with `:over` at the end."
  @type on_progress :: (Vllm.Proto.Progress.t() | :over -> term()) | nil

  @doc """
  Sends a request and waits for its first reply. `window` is how many items a stream may be ahead
  of its consumer, `enumerable` the argument that is a stream, if there is one. Only a call with
  `on_progress` may be told of its progress.
  """
  @spec call(
          Locator.instance(),
          CallRequest.t(),
          timeout(),
          pos_integer(),
          Enumerable.t() | nil,
          on_progress()
        ) :: reply()
  def call(instance, request, timeout, window, enumerable \\ nil, on_progress \\ nil)

  def call(instance, %CallRequest{} = request, timeout, window, enumerable, on_progress) do
    case Locator.server(instance, "Connection") do
      {:ok, server} when enumerable == nil ->
        run(server, instance, request, timeout, window, nil, on_progress)

      {:ok, server} ->
        call = &run(server, instance, request, timeout, window, &1, on_progress)
        Producer.during(enumerable, server, call)

      :error ->
        {:error, Locator.down(instance, :noconnection)}
    end
  end

  # `producer` enumerates the argument that is a stream, if there is one.
  defp run(server, instance, request, timeout, window, producer, nil) do
    alias_ref = :erlang.monitor(:process, server, alias: :reply_demonitor)
    send(server, {:call, alias_ref, self(), request, window, producer})

    receive do
      {^alias_ref, reply} -> reply
      {:DOWN, ^alias_ref, :process, _server, reason} -> {:error, Locator.down(instance, reason)}
    after
      patience(timeout) -> give_up(server, alias_ref, timeout)
    end
  end

  # The first message is not the last one here, so the alias stays until the end.
  defp run(server, instance, request, timeout, window, producer, on_progress) do
    alias_ref = :erlang.monitor(:process, server, alias: :explicit_unalias)
    send(server, {:call, alias_ref, self(), request, window, producer})

    try do
      case wait(alias_ref, patience_ends(timeout), on_progress) do
        {:reply, reply} -> reply
        {:down, reason} -> {:error, Locator.down(instance, reason)}
        :overdue -> give_up(server, alias_ref, timeout)
      end
    after
      :erlang.unalias(alias_ref)
      Process.demonitor(alias_ref, [:flush])
      flush(alias_ref)
      on_progress.(:over)
    end
  end

  defp wait(alias_ref, ends, on_progress) do
    receive do
      {^alias_ref, {:progress, progress}} ->
        on_progress.(progress)
        wait(alias_ref, ends, on_progress)

      {^alias_ref, reply} ->
        {:reply, reply}

      {:DOWN, ^alias_ref, :process, _server, reason} ->
        {:down, reason}
    after
      left(ends) -> :overdue
    end
  end

  defp patience_ends(:infinity), do: :infinity
  defp patience_ends(timeout), do: System.monotonic_time(:millisecond) + patience(timeout)

  defp left(:infinity), do: :infinity
  defp left(ends), do: max(ends - System.monotonic_time(:millisecond), 0)

  defp flush(alias_ref) do
    receive do
      {^alias_ref, _message} -> flush(alias_ref)
    after
      0 -> :ok
    end
  end

  defp give_up(server, alias_ref, timeout) do
    Process.demonitor(alias_ref, [:flush])

    # A reply that has arrived meanwhile counts: the stream it opened must not be cancelled.
    receive do
      {^alias_ref, reply} when elem(reply, 0) != :progress ->
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
