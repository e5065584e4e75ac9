defmodule Vllm.Core.Connection.Closing do
  @moduledoc false
  # Ends a session: finds the reason, answers the waiting calls, and emits the event.

  require Logger

  alias Vllm.Error
  alias Vllm.Core.Worker
  alias Vllm.Core.Connection.{Outgoing, Resumption, Routes, State}
  alias Vllm.Core.Instance.{LastFailure, Locator}
  alias Vllm.Core.Telemetry.Emitter
  alias Vllm.Core.Wire.Session
  alias Vllm.Proto.ClientFrame

  # Milliseconds for the process of a worker that has closed the session to end. Then the wait for its
  # exit status begins, which Vllm.Core.Worker limits.
  @patience 600

  @doc """
  The exit reason of the process. Waits for the worker's own, which is known a moment after the session
  has ended.
  """
  @spec reason(State.t(), Error.t()) :: {:shutdown, Error.t()}
  def reason(%{instance: {name, _node} = instance} = state, error) do
    Logger.error("lost the session with the worker: #{error.message}", State.metadata(state))
    error = explain(instance, error)
    LastFailure.put_new(name, error)
    {:shutdown, error}
  end

  @doc "The reason behind a connection that was closed or could not be made: how the worker ended."
  @spec explain(Locator.instance(), Error.t()) :: Error.t()
  def explain(instance, %Error{kind: :worker_down} = error) do
    case Worker.reason(instance, @patience) do
      %Error{} = reason -> reason
      :running -> add(error, "its process still runs")
      :elsewhere -> add(error, "how it ended is known where it was started")
    end
  end

  def explain(_instance, error), do: error

  # In parentheses, so that it stays with the first part of the message; see Locator.down/2.
  defp add(error, what), do: %{error | message: "#{error.message} (#{what})"}

  @doc "Answers every waiting call with the reason why the process ends."
  @spec run(State.t(), term()) :: :ok
  # No session was open yet.
  def run(%{session: nil}, _reason), do: :ok

  def run(state, reason) do
    error =
      if state.drain,
        do: stopping(state, "the grace period is over; this call may have run in part"),
        else: Locator.down(state.instance, reason)

    Routes.fail_all(state.routes, error)
    leave_or_keep(state, ended_by(reason))

    lasted = System.monotonic_time() - state.since
    measurements = %{duration: lasted, calls: Routes.size(state.routes)}
    event(:down, state, measurements, %{error: ended_by(reason)})
  end

  # The worker is told when the session is over for good. It would keep its references otherwise, as it
  # does while this process waits for the next session.
  defp leave_or_keep(%{hello: %{resume_key: key}} = state, nil) when key != "" do
    {out, session} = Session.encode(state.session, %ClientFrame{leaving: true})
    _sent = Outgoing.transmit(%{state | session: session}, out)
    :ok
  end

  defp leave_or_keep(_state, nil), do: :ok
  defp leave_or_keep(state, %Error{}), do: Resumption.lost(state)

  defp ended_by({:shutdown, %Error{} = error}), do: error
  defp ended_by(reason) when reason in [:normal, :shutdown], do: nil
  defp ended_by({:shutdown, _reason}), do: nil
  defp ended_by(_crash), do: Error.new(:protocol, "the connection's process crashed")

  @doc "The error for calls of an instance that is stopping."
  @spec stopping(State.t(), String.t()) :: Error.t()
  def stopping(%{instance: {name, _node}}, what),
    do: Error.new(:draining, "#{inspect(name)} is stopping: #{what}")

  @doc "Emits the event that the session is `:up` or `:down`."
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
