defmodule Vllm.Core.Connection.Handshake do
  @moduledoc false
  # From an address to a session that both sides have agreed on: connect, our hello, the worker's.
  # It runs in the process that will own the socket, before anybody else knows of it.

  alias Vllm.Error
  alias Vllm.Core.Wire.{Session, Socket}
  alias Vllm.Proto.{ServerFrame, ServerHello}

  # All of it takes a millisecond. A worker that has said it is ready and then does not answer will
  # not answer later either.
  @timeout 10_000

  @doc "Returns the frames that came with the hello too."
  @spec run(address :: String.t(), token :: String.t()) ::
          {:ok, :gen_tcp.socket(), Session.t(), ServerHello.t(), [ServerFrame.t()]}
          | {:error, Error.t()}
  def run(address, token) do
    deadline = now() + @timeout

    with {:ok, socket} <- Socket.connect(address, @timeout),
         {:error, reason} <- greet(socket, token, deadline) do
      # Who tries again and again would otherwise keep a socket of every try.
      :gen_tcp.close(socket)
      {:error, reason}
    end
    |> named()
  end

  defp greet(socket, token, deadline) do
    {out, session} = Session.open(token)

    with :ok <- :gen_tcp.send(socket, out),
         {:ok, session, hello, frames} <- await_hello(socket, session, deadline) do
      {:ok, socket, session, hello, frames}
    end
  end

  defp named({:error, reason}) when not is_struct(reason), do: {:error, Socket.error(reason)}
  defp named(result), do: result

  defp await_hello(socket, session, deadline) do
    case :gen_tcp.recv(socket, 0, max(deadline - now(), 0)) do
      {:ok, bytes} ->
        {frames, error, out, session} = Session.handle_bytes(session, bytes)
        # A worker that refuses us hangs up at once. Its reason is what counts, not that our
        # acknowledgement of its settings came too late.
        sent = :gen_tcp.send(socket, out)

        case {frames, error} do
          {[], nil} -> with :ok <- sent, do: await_hello(socket, session, deadline)
          {[], error} -> {:error, error}
          {[first | frames], error} -> judge(first, frames, error, session)
        end

      {:error, :timeout} ->
        {:error, Error.new(:protocol, "no hello from the worker within #{@timeout} ms")}

      {:error, reason} ->
        {:error, reason}
    end
  end

  defp judge(first, frames, error, session) do
    case {Session.check_hello(first), error} do
      {{:ok, hello}, nil} -> {:ok, session, hello, frames}
      {{:ok, _hello}, error} -> {:error, error}
      {{:error, refusal}, _error} -> {:error, refusal}
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
