defmodule Vllm.Core.Connection.Closing do
  @moduledoc false
  # The end of a session: why, who is told, and what telemetry says of it.

  require Logger

  alias Vllm.Error
  alias Vllm.Core.Worker
  alias Vllm.Core.Connection.{Routes, State}
  alias Vllm.Core.Instance.{LastFailure, Locator}
  alias Vllm.Core.Telemetry.Emitter

  # How long is waited for the reason why the worker has ended, before every call is answered: with
  # real engines it takes 450 ms until the last process that holds its log is gone.
  @reason_timeout 600

  @doc "What the process stops with: the session ends a moment before the reason of it is known."
  @spec reason(State.t(), Error.t()) :: {:shutdown, Error.t()}
  def reason(%{instance: {name, _node} = instance} = state, error) do
    Logger.error("lost the session with the worker: #{error.message}", State.metadata(state))
    known = if error.kind == :worker_down, do: Worker.reason(instance, @reason_timeout)
    unless known, do: LastFailure.put_new(name, error)
    {:shutdown, known || error}
  end

  @doc "Answers every call that waits, once it is known why the process ends."
  @spec run(State.t(), term()) :: :ok
  # There was no session yet.
  def run(%{session: nil}, _reason), do: :ok

  def run(state, reason) do
    error =
      if state.drain,
        do: stopping(state, "the grace period for this call is over; it may have run in part"),
        else: Locator.down(state.instance, reason)

    Routes.fail_all(state.routes, error)

    lasted = System.monotonic_time() - state.since
    measurements = %{duration: lasted, calls: Routes.size(state.routes)}
    event(:down, state, measurements, %{error: ended_by(reason)})
  end

  defp ended_by({:shutdown, %Error{} = error}), do: error
  defp ended_by(reason) when reason in [:normal, :shutdown], do: nil
  defp ended_by({:shutdown, _reason}), do: nil
  defp ended_by(_crash), do: Error.new(:protocol, "the connection's process has crashed")

  @doc "The error for calls of an instance that stops."
  @spec stopping(State.t(), String.t()) :: Error.t()
  def stopping(%{instance: {name, _node}}, what),
    do: Error.new(:draining, "#{inspect(name)} is stopping: #{what}")

  @doc "Tells telemetry that the session is `:up` or `:down`."
  @spec event(:up | :down, State.t(), map(), map()) :: :ok
  def event(what, %{instance: {name, _node}, hello: hello}, measurements, more \\ %{}) do
    metadata = %{
      instance: name,
      incarnation: hello.incarnation,
      worker_version: hello.worker_version,
      vllm_version: if(hello.vllm_version != "", do: hello.vllm_version)
    }

    Emitter.event([:vllm, :connection, what], measurements, Map.merge(metadata, more))
  end
end
