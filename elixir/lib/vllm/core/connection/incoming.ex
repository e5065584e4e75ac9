defmodule Vllm.Core.Connection.Incoming do
  @moduledoc false
  # Handles what the worker sends: bytes become frames, replies are sent to the processes that wait for
  # them (Vllm.Core.Connection.Routes), and notices of engines go to the instance's listener.

  require Logger

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Codec
  alias Vllm.Core.Call.{Producer, Producers}
  alias Vllm.Core.Connection.{Handover, Outgoing, Routes, State}
  alias Vllm.Core.Wire.{Elements, Session}
  alias Vllm.Proto.{CallReply, Failure, Notice, ServerFrame}

  # Binaries of so many bytes are on the heap of a process, and are copied in any case when sent.
  @heap_bytes 64

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

  @doc "Handles what frames hold in order, up to what ends the session."
  @spec frames(State.t(), [Elements.element()]) :: State.step()
  def frames(state, [{:item, id, payload} | frames]) do
    case Routes.item(state.routes, id, detach(payload)) do
      :ok -> frames(state, frames)
      {:ok, routes} -> frames(%{state | routes: routes}, frames)
    end
  end

  def frames(state, []), do: {:ok, state}

  def frames(state, [frame | frames]) do
    with {:ok, state} <- frame(state, frame), do: frames(state, frames)
  end

  defp frame(state, %ServerFrame{failure: %Failure{} = failure}),
    do: {:error, Codec.Failure.from_proto(failure), state}

  defp frame(state, %ServerFrame{replies: replies, notices: notices, loads: loads}) do
    with {:ok, state} <- notices(state, notices) do
      loads(state, loads)
      {:ok, Enum.reduce(replies, state, &reply/2)}
    end
  end

  # For the pools that the instance belongs to.
  defp loads(_state, []), do: :ok

  defp loads(state, loads),
    do: on_engine({:loads, for(load <- loads, do: %{load | ref: :binary.copy(load.ref)})}, state)

  ## Replies

  defp reply(%CallReply{call: id, outcome: {:input_wanted, _}}, state) do
    with {:gone, failure} <- Producers.want(state.producers, id),
         do: Producer.send_step(self(), id, {:failure, failure})

    state
  end

  defp reply(%CallReply{call: id, outcome: {:inputs_closed, _}}, state) do
    Producers.stop(state.producers, [id])
    state
  end

  defp reply(%CallReply{call: id, outcome: outcome, references: []}, state) do
    case Routes.reply(state.routes, id, outcome(outcome)) do
      {:ok, routes} -> %{state | routes: routes}
      :unknown -> state
    end
  end

  defp reply(%CallReply{call: id, outcome: outcome} = reply, state) do
    # Copied, because they are parts of the frame, which they would keep in memory.
    ids = Enum.map(reply.references, &:binary.copy/1)
    Handover.reply(state, id, outcome(outcome), {ids, reply.built})
  end

  defp outcome({kind, payload}) when kind in [:item, :value], do: {kind, detach(payload)}
  defp outcome(nil), do: {:error, Error.new(:protocol, "the worker sent an empty reply")}
  defp outcome(outcome), do: outcome

  # A payload is a sub-binary of its frame. Without a copy, a process that keeps one item would keep
  # the whole frame, with items of all streams, in memory.
  defp detach(payload) when byte_size(payload) <= @heap_bytes, do: :binary.copy(payload)

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

    on_engine(:draining, state)
  end

  defp notice({:engine_died, %{failure: failure} = died}, state) do
    engine = engine(died, state)
    reason = if failure, do: failure.message, else: "the worker gave no reason"

    Logger.error(
      "the engine #{engine.id} (#{engine.type}) died: #{reason}",
      State.metadata(state)
    )

    on_engine({:died, engine, reason}, state)
  end

  defp notice({:engine_stalled, stalled}, state),
    do: on_engine({:stalled, engine(stalled, state), stalled}, state)

  defp notice({:engine_recovered, recovered}, state),
    do: on_engine({:recovered, engine(recovered, state), recovered}, state)

  defp notice({:adapter_partly_used, used}, state),
    do: on_engine({:adapter_partly_used, engine(used, state), used}, state)

  # A notice that this version does not know, from a newer worker.
  defp notice(_unknown, _state), do: :ok

  defp on_engine(event, state), do: state.on_engine_event.(state.instance, event)

  # Copied, because they are parts of the frame, and the reference may be kept.
  defp engine(%{ref: id, type: type}, %{instance: instance, hello: %{incarnation: incarnation}}) do
    type = if type == "", do: "AsyncLLM", else: :binary.copy(type)
    %Ref{instance: instance, incarnation: incarnation, id: :binary.copy(id), type: type}
  end
end
