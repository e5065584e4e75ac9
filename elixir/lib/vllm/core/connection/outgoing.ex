defmodule Vllm.Core.Connection.Outgoing do
  @moduledoc false
  # What is sent to the worker: entries are gathered in the outbox and leave in one frame.

  alias Vllm.Core.Connection.Outbox
  alias Vllm.Core.Wire.{Session, Socket}
  alias Vllm.Core.Connection.State

  @doc """
  Puts entries into the next frame.

  The first one also sends the reminder, `:flush`, to let the frame go. It arrives behind what was
  in the mailbox by then, which the frame gathers, and before what comes later: waiting for an empty
  mailbox would let a worker that never stops sending hold up every cancel.
  """
  @spec put(
          State.t(),
          :calls | :credits | :inputs | :cancels | :releases,
          [term()],
          non_neg_integer()
        ) :: State.t()
  def put(%{outbox: outbox} = state, field, values, bytes \\ 0) do
    filled = Outbox.put(outbox, field, values, bytes)
    if Outbox.empty?(outbox) and not Outbox.empty?(filled), do: send(self(), :flush)
    %{state | outbox: filled}
  end

  @doc "Lets the frame go, if there is anything in it."
  @spec flush(State.t()) :: State.step()
  def flush(state), do: if(Outbox.empty?(state.outbox), do: {:ok, state}, else: send_frame(state))

  @doc "Lets the frame go if it is full."
  @spec flush_full(State.t()) :: State.step()
  def flush_full(state),
    do: if(Outbox.full?(state.outbox), do: send_frame(state), else: {:ok, state})

  @doc "Lets the frame go before a call. Within one frame releases come last: these go first."
  @spec flush_releases(State.t()) :: State.step()
  def flush_releases(state),
    do: if(Outbox.releases?(state.outbox), do: send_frame(state), else: {:ok, state})

  defp send_frame(state) do
    {frame, outbox} = Outbox.take(state.outbox)
    {out, session} = Session.encode(state.session, frame)
    transmit(%{state | session: session, outbox: outbox}, out)
  end

  @doc "Sends what the session has to say."
  @spec transmit(State.t(), iodata()) :: State.step()
  def transmit(state, []), do: {:ok, state}

  def transmit(state, out) do
    case :gen_tcp.send(state.socket, out) do
      :ok -> {:ok, state}
      {:error, reason} -> {:error, Socket.error(reason), state}
    end
  end
end
