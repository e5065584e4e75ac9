defmodule Vllm.Core.Connection.Handshake do
  @moduledoc false
  # Connects to an address and opens a session: connect, send the client's hello, receive the worker's.
  # It runs in the process that will own the socket, before any other process knows of it.

  alias Vllm.Error
  alias Vllm.Core.Wire.{Session, Socket, TLS}
  alias Vllm.Proto.{ClientHello, ServerFrame, ServerHello}

  # Milliseconds. The handshake takes one; a worker that is ready and does not answer in this time
  # will not answer later.
  @timeout 10_000

  @doc "Also returns the frames that arrived together with the hello."
  @spec run(address :: String.t(), ClientHello.t(), TLS.options()) ::
          {:ok, Socket.t(), Session.t(), ServerHello.t(), [ServerFrame.t()]}
          | {:error, Error.t()}
  def run(address, hello, tls) do
    deadline = now() + @timeout

    with {:ok, socket} <- Socket.connect(address, tls, @timeout),
         {:error, reason} <- greet(socket, hello, deadline) do
      # Otherwise a caller that tries repeatedly would keep a socket of every attempt.
      Socket.close(socket)
      {:error, reason}
    end
    |> named()
  end

  defp greet(socket, hello, deadline) do
    {out, session} = Session.open(hello)

    # Under TLS 1.3 a worker that refuses the client's certificate says so after the handshake, and may
    # have closed by now. Its reason is read like a hello.
    sent = Socket.send(socket, out)

    with :ok <- if(match?({:ssl, _socket}, socket), do: :ok, else: sent),
         {:ok, session, hello, frames} <- await_hello(socket, session, deadline) do
      {:ok, socket, session, hello, frames}
    end
  end

  defp named({:error, reason}) when not is_struct(reason), do: {:error, Socket.error(reason)}
  defp named(result), do: result

  defp await_hello(socket, session, deadline) do
    case Socket.recv(socket, max(deadline - now(), 0)) do
      {:ok, bytes} ->
        {frames, error, out, session} = Session.handle_bytes(session, bytes)

        # A worker that refuses the session closes at once. The reason it sent matters more than the
        # failure to acknowledge its settings.
        sent = Socket.send(socket, out)

        case {frames, error} do
          {[], nil} -> with :ok <- sent, do: await_hello(socket, session, deadline)
          {[], error} -> {:error, error}
          {[first | frames], error} -> judge(first, frames, error, session)
        end

      {:error, :timeout} ->
        {:error,
         Error.new(
           :worker_down,
           "the worker took the connection and did not answer the hello within #{@timeout} ms: it is " <>
             "stopped or hangs"
         )}

      {:error, :closed} ->
        {:error, closed(socket, session)}

      {:error, reason} ->
        {:error, reason}
    end
  end

  # Who listens at an address of another kind says so before it closes.
  defp closed(_socket, %{goaway: "" <> reason}),
    do: Error.new(:protocol, "the worker closed the connection: #{reason}")

  defp closed({:ssl, _socket}, _session) do
    Error.new(
      :worker_down,
      "the worker closed the connection after the TLS handshake and gave no reason; its log has it"
    )
  end

  defp closed(_socket, _session), do: :closed

  defp judge(first, frames, error, session) do
    case {Session.check_hello(first), error} do
      {{:ok, hello}, nil} -> {:ok, session, hello, frames}
      {{:ok, _hello}, error} -> {:error, error}
      {{:error, refusal}, _error} -> {:error, refusal}
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
