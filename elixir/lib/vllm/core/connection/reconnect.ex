defmodule Vllm.Core.Connection.Reconnect do
  @moduledoc false
  # Opens a session with a worker, and waits for one of somebody else that is not there (yet, or for
  # the moment): `connect:`.
  #
  # Who runs that worker restarts it. Here it is only tried again, after pauses that grow, so that it
  # is found soon after a short absence and not beset during a long one; and none is quite as long as
  # the others, or the clients of one worker would all come at once. Calls are refused meanwhile.

  alias Vllm.Error
  alias Vllm.Core.Connection.Handshake
  alias Vllm.Core.Instance.{LastFailure, Locator}

  @first_pause 200
  @longest_pause 5_000

  @doc """
  Tries until `deadline`, a monotonic time in milliseconds. What cannot change by waiting, such as a
  wrong token, is returned at once; with the deadline `:infinity` nothing is returned but a session.
  """
  @spec run(Locator.instance(), String.t(), String.t(), integer() | :infinity) ::
          {:ok, :gen_tcp.socket(), Vllm.Core.Wire.Session.t(), struct(), [struct()]}
          | {:error, Error.t()}
  def run({name, _node} = instance, address, token, deadline) do
    result = run(instance, address, token, deadline, 0)
    # How the last one ended is told no more.
    unless match?({:error, _}, result), do: LastFailure.clear(name)
    result
  end

  defp run(instance, address, token, deadline, tries) do
    with {:error, %Error{} = error} <- Handshake.run(address, token) do
      if deadline == :infinity or (error.kind == :worker_down and now() < deadline) do
        wait(instance, address, error, pause(tries))
        run(instance, address, token, deadline, tries + 1)
      else
        {:error, error}
      end
    end
  end

  @doc "Milliseconds between one try and the next: double each time, less up to half by chance."
  @spec pause(non_neg_integer()) :: pos_integer()
  def pause(tries) do
    whole = min(@first_pause * Integer.pow(2, min(tries, 16)), @longest_pause)
    whole - :rand.uniform(div(whole, 2))
  end

  @doc "Refuses calls for some time, with the reason why there is no session."
  @spec wait(Locator.instance(), String.t(), Error.t() | nil, non_neg_integer()) :: :ok
  def wait(instance, address, error, milliseconds) do
    refuse(down(instance, address, error), now() + milliseconds)
  end

  defp refuse(error, until) do
    receive do
      {:call, alias_ref, _caller, _request, _window, _producer} ->
        send(alias_ref, {alias_ref, {:error, error}})
        refuse(error, until)

      {:"$gen_call", from, :info} ->
        GenServer.reply(from, {:error, error})
        refuse(error, until)

      # Nothing is in flight.
      {:"$gen_call", from, :drain} ->
        GenServer.reply(from, :ok)
        refuse(error, until)
    after
      max(until - now(), 0) -> :ok
    end
  end

  defp down(instance, _address, nil), do: Locator.down(instance, :noproc)

  defp down({name, _node}, address, error) do
    Error.new(
      :worker_down,
      "#{inspect(name)} has no session with the worker at #{address}, which is tried again: " <>
        error.message,
      cause: error.cause
    )
  end

  defp now, do: System.monotonic_time(:millisecond)
end
