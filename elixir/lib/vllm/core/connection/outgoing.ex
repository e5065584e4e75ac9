defmodule Vllm.Core.Connection.Outgoing do
  @moduledoc false
  # Sends to the worker: entries are gathered in the outbox and leave together in one frame.

  alias Vllm.Core.Connection.{Outbox, State}
  alias Vllm.Core.Wire.{Session, Socket}
  alias Vllm.Core.Worker

  @doc """
  Puts entries into the next frame.

  The first entry also sends `:flush` to this process. That message arrives after everything that is
  in the mailbox now, which the frame still gathers, and before anything later. Waiting for an empty
  mailbox instead would let a worker that sends without pause delay every cancel.
  """
  @spec put(State.t(), Outbox.field(), [term()], non_neg_integer()) :: State.t()
  def put(%{outbox: outbox} = state, field, values, bytes \\ 0) do
    filled = Outbox.put(outbox, field, values, bytes)
    if Outbox.empty?(outbox) and not Outbox.empty?(filled), do: send(self(), :flush)
    %{state | outbox: filled}
  end

  @doc "Sends the frame unless it is empty."
  @spec flush(State.t()) :: State.step()
  def flush(state), do: if(Outbox.empty?(state.outbox), do: {:ok, state}, else: send_frame(state))

  @doc "Sends the frame if it is full."
  @spec flush_full(State.t()) :: State.step()
  def flush_full(state),
    do: if(Outbox.full?(state.outbox), do: send_frame(state), else: {:ok, state})

  @doc """
  Sends the frame if it holds releases: a call that follows must not overtake them, and within one
  frame the worker handles releases last.
  """
  @spec flush_releases(State.t()) :: State.step()
  def flush_releases(state),
    do: if(Outbox.releases?(state.outbox), do: send_frame(state), else: {:ok, state})

  defp send_frame(state) do
    {frame, outbox} = Outbox.take(state.outbox)
    {out, session} = Session.encode(state.session, frame)
    transmit(%{state | session: session, outbox: outbox}, out)
  end

  @doc "Sends bytes of the session."
  @spec transmit(State.t(), iodata()) :: State.step()
  def transmit(state, []), do: {:ok, state}

  def transmit(state, out) do
    case Socket.send(state.socket, out) do
      :ok -> {:ok, state}
      {:error, :timeout} -> {:error, Worker.give_up(state.instance, Socket.unread()), state}
      {:error, reason} -> {:error, Socket.error(reason), state}
    end
  end
end
