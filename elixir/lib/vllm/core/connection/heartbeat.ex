defmodule Vllm.Core.Connection.Heartbeat do
  @moduledoc false
  # Notices a worker that sends nothing any more and closes nothing either: its process is stopped, its
  # event loop hangs, or the network between has lost it without a word. TCP alone would have callers
  # wait for hours, and a Unix socket for ever.
  #
  # Whatever arrives is a sign of life, so nothing is done for it: the socket counts the bytes, and they
  # are looked at now and then. After a time without any the worker gets a ping of HTTP/2, which its
  # event loop answers at once, whatever its engines do. Where no answer comes either, the session ends
  # as if it had been closed. A worker of the instance's own is then killed without a grace period,
  # because it would not hear of it, and the supervisor starts the next one.
  #
  # Time in which this BEAM itself stood still does not count: the next look is planned after each look.

  alias Vllm.Core.Connection.{Outgoing, State}
  alias Vllm.Core.Worker
  alias Vllm.Core.Wire.{Session, Socket}

  # The first look that finds nothing new has a ping sent, and so many later ones wait for the answer. A
  # worker whose loop turns answers in milliseconds; on a machine that swaps it may take seconds.
  @patience 3

  @typedoc "How many bytes had come at the last look, and how many looks since then found no more."
  @type t :: {received :: non_neg_integer(), looks :: non_neg_integer()}

  @doc "Has the process get the message `:heartbeat`, for `look/1`. Returns the timer; nil for never."
  @spec plan(State.t()) :: reference() | nil
  def plan(%{silent_after: never}) when never in [0, :infinity], do: nil

  def plan(%{silent_after: milliseconds}),
    do: Process.send_after(self(), :heartbeat, max(1, div(milliseconds, @patience + 1)))

  @doc "Looks whether something has come since the last look."
  @spec look(State.t()) :: State.step()
  def look(%{heartbeat: {before, looks}} = state) do
    case Socket.received(state.socket) do
      {:ok, ^before} -> silent(state, before, looks + 1)
      {:ok, received} -> go_on(state, {received, 0})
      # The socket is closed, and its message on the way.
      {:error, _reason} -> {:ok, state}
    end
  end

  # One ping is enough: TCP sends it again where it is lost.
  defp silent(state, received, 1) do
    with {:ok, state} <- Outgoing.transmit(state, Session.ping()),
         do: go_on(state, {received, 1})
  end

  defp silent(state, received, looks) when looks <= @patience,
    do: go_on(state, {received, looks})

  defp silent(state, _received, _looks) do
    said = "has sent nothing for #{state.silent_after} ms, and has not answered a ping"
    {:error, Worker.give_up(state.instance, said), state}
  end

  defp go_on(state, heartbeat) do
    _timer = plan(state)
    {:ok, %{state | heartbeat: heartbeat}}
  end
end
