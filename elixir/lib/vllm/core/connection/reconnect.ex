defmodule Vllm.Core.Connection.Reconnect do
  @moduledoc false
  # Opens a session with a worker, and tries again while a worker that was started elsewhere
  # (`connect:`) is not reachable.
  #
  # Whoever runs that worker restarts it; here it is only tried again. The pauses grow, so that a worker
  # is found soon after a short absence and is not flooded after a long one. They are random in part, so
  # that the clients of one worker do not all come back at once. Calls are refused meanwhile.

  alias Vllm.Error
  alias Vllm.Core.Connection.Handshake
  alias Vllm.Core.Instance.{LastFailure, Locator}
  alias Vllm.Core.Wire.{Session, Socket, TLS}
  alias Vllm.Proto.ClientHello

  @first_pause 200
  @longest_pause 5_000

  @doc """
  Tries the addresses in their order, until `deadline`, a monotonic time in milliseconds. An error that
  waiting cannot change, such as a wrong token, is returned at once, if no other address may still be
  reached. With the deadline `:infinity` only a session is returned.
  """
  @spec run(
          Locator.instance(),
          [String.t()],
          {ClientHello.t(), TLS.options()},
          integer() | :infinity
        ) ::
          {:ok, Socket.t(), Session.t(), struct(), [struct()]} | {:error, Error.t()}
  def run({name, _node} = instance, addresses, {_hello, _tls} = credentials, deadline) do
    result = run(instance, addresses, credentials, deadline, 0)
    # The reason why the last session ended is out of date.
    unless match?({:error, _}, result), do: LastFailure.clear(name)
    result
  end

  defp run(instance, addresses, credentials, deadline, tries) do
    with {:error, errors} <- each(addresses, credentials, []) do
      error = joined(errors)

      if deadline == :infinity or
           (Enum.any?(errors, &(&1.kind == :worker_down)) and now() < deadline) do
        wait(instance, addresses, error, pause(tries))
        run(instance, addresses, credentials, deadline, tries + 1)
      else
        {:error, error}
      end
    end
  end

  defp each([], _credentials, errors), do: {:error, Enum.reverse(errors)}

  defp each([address | addresses], {hello, tls} = credentials, errors) do
    with {:error, %Error{} = error} <- Handshake.run(address, hello, tls),
         do: each(addresses, credentials, [error | errors])
  end

  @doc """
  The error of several addresses: the first that waiting does not change, because somebody has to
  change something there, or else the first. Its message has those of the others.
  """
  @spec joined([Error.t(), ...]) :: Error.t()
  def joined([error]), do: error

  def joined([first | _] = errors) do
    error = Enum.find(errors, first, &(&1.kind != :worker_down))
    others = for other <- errors, other != error, do: other.message
    %{error | message: Enum.join([error.message | others], "; and ")}
  end

  @doc "Addresses for a message."
  @spec shown([String.t()]) :: String.t()
  def shown(addresses), do: Enum.map_join(addresses, " or ", &Socket.shown/1)

  @doc "Milliseconds until the next attempt: doubled each time, minus a random part of up to one half."
  @spec pause(non_neg_integer()) :: pos_integer()
  def pause(tries) do
    whole = min(@first_pause * Integer.pow(2, min(tries, 16)), @longest_pause)
    whole - :rand.uniform(div(whole, 2))
  end

  @doc "Refuses calls for some time, with the reason why no session is open."
  @spec wait(Locator.instance(), [String.t()], Error.t() | nil, non_neg_integer()) :: :ok
  def wait(instance, addresses, error, milliseconds) do
    refuse(down(instance, addresses, error), now() + milliseconds)
  end

  defp refuse(error, until) do
    receive do
      {:call, alias_ref, _caller, _request, _window, _producer} when is_reference(alias_ref) ->
        send(alias_ref, {alias_ref, {:error, error}})
        refuse(error, until)

      {:"$gen_call", from, :info} ->
        GenServer.reply(from, {:error, error})
        refuse(error, until)

      # No call is in flight.
      {:"$gen_call", from, :drain} ->
        GenServer.reply(from, :ok)
        refuse(error, until)

      {:"$gen_call", from, _unknown} ->
        GenServer.reply(from, {:error, error})
        refuse(error, until)
    after
      max(until - now(), 0) -> :ok
    end
  end

  defp down(instance, _addresses, nil), do: Locator.down(instance, :noproc)

  defp down({name, _node}, addresses, error) do
    # Whoever is not let in should know that waiting alone does not help.
    kind = if error.kind == :unauthenticated, do: :unauthenticated, else: :worker_down

    Error.new(
      kind,
      "#{inspect(name)} has no session with the worker at #{shown(addresses)} and keeps " <>
        "trying: " <>
        error.message,
      cause: error.cause
    )
  end

  defp now, do: System.monotonic_time(:millisecond)
end
