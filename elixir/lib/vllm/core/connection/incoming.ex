defmodule Vllm.Core.Connection.Incoming do
  @moduledoc false
  # Handles what the worker sends: bytes become frames, replies are sent to the processes that wait for
  # them (Vllm.Core.Connection.Routes), and notices of engines go to the instance's listener.

  require Logger

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Codec
  alias Vllm.Core.Call.{Producer, Producers}
  alias Vllm.Core.Connection.{Outgoing, Routes, State}
  alias Vllm.Core.Instance.ReferenceTracker
  alias Vllm.Core.Wire.Session
  alias Vllm.Proto.{CallReply, Failure, Notice, ServerFrame}

  @doc """
  Handles bytes from the socket. An error ends the session after the frames before it have been
  handled. That holds for an error in sending the answer too: the frames of a worker that has closed
  may say why it closed.
  """
  @spec bytes(State.t(), binary()) :: State.step()
  def bytes(state, bytes) do
    {frames, error, out, session} = Session.handle_bytes(state.session, bytes)
    sent = Outgoing.transmit(%{state | session: session}, out)

    with {:ok, state} <- frames(%{state | session: session}, frames) do
      case {error, sent} do
        {nil, {:ok, _state}} -> {:ok, state}
        {nil, {:error, unsent, _state}} -> {:error, unsent, state}
        {error, _sent} -> {:error, error, state}
      end
    end
  end

  @doc "Handles frames in order, up to one that ends the session."
  @spec frames(State.t(), [ServerFrame.t()]) :: State.step()
  def frames(state, []), do: {:ok, state}

  def frames(state, [frame | frames]) do
    with {:ok, state} <- frame(state, frame), do: frames(state, frames)
  end

  defp frame(state, %ServerFrame{failure: %Failure{} = failure}),
    do: {:error, Codec.Failure.from_proto(failure), state}

  defp frame(state, %ServerFrame{replies: replies, notices: notices}) do
    with {:ok, state} <- notices(state, notices),
         do: {:ok, %{state | routes: Enum.reduce(replies, state.routes, &reply(&1, &2, state))}}
  end

  ## Replies

  defp reply(%CallReply{call: id, outcome: {:input_wanted, _}}, routes, state) do
    with {:gone, failure} <- Producers.want(state.producers, id),
         do: Producer.send_step(self(), id, {:failure, failure})

    routes
  end

  defp reply(%CallReply{call: id, outcome: {:inputs_closed, _}}, routes, state) do
    Producers.stop(state.producers, [id])
    routes
  end

  defp reply(%CallReply{call: id, outcome: outcome}, routes, state) do
    outcome = outcome(outcome)

    case Routes.reply(routes, id, outcome) do
      {:ok, routes} ->
        routes

      :unknown ->
        # The call was cancelled. The value may hold references that no other process would release.
        with {:value, payload} <- outcome, do: ReferenceTracker.discard(state.instance, payload)
        routes
    end
  end

  defp outcome({kind, payload}) when kind in [:item, :value], do: {kind, detach(payload)}
  defp outcome(nil), do: {:error, Error.new(:protocol, "the worker sent an empty reply")}
  defp outcome(outcome), do: outcome

  # A payload is a sub-binary of its frame. Without a copy, a process that keeps one item would keep
  # the whole frame, with items of all streams, in memory.
  defp detach(payload) do
    if :binary.referenced_byte_size(payload) > 2 * byte_size(payload),
      do: :binary.copy(payload),
      else: payload
  end

  ## Notices

  defp notices(state, []), do: {:ok, state}

  defp notices(state, [%Notice{event: event} | notices]) do
    case notice(event, state) do
      {:end_session, error} -> {:error, error, state}
      :ok -> notices(state, notices)
    end
  end

  defp notice({:draining, %{grace_ms: grace}}, state) do
    Logger.notice(
      "the worker is stopping; calls in flight have #{grace} ms to finish",
      State.metadata(state)
    )
  end

  defp notice({:engine_died, %{ref: ref, failure: failure}}, state) do
    reason = if failure, do: failure.message, else: "the worker gave no reason"
    Logger.error("the engine #{ref} died: #{reason}", State.metadata(state))
    on_engine({:died, engine(ref, state), reason}, state)
  end

  defp notice({:engine_stalled, stalled}, state),
    do: on_engine({:stalled, engine(stalled.ref, state), stalled}, state)

  defp notice({:engine_recovered, recovered}, state),
    do: on_engine({:recovered, engine(recovered.ref, state), recovered}, state)

  # A notice that this version does not know, from a newer worker.
  defp notice(_unknown, _state), do: :ok

  defp on_engine(event, state), do: state.on_engine_event.(state.instance, event)

  defp engine(id, %{instance: instance, hello: %{incarnation: incarnation}}),
    do: %Ref{instance: instance, incarnation: incarnation, id: id, type: "AsyncLLM"}
end
