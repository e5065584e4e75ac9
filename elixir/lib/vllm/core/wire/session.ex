defmodule Vllm.Core.Wire.Session do
  @moduledoc false
  # The gRPC call `Session` as a value: turns bytes of the socket into ServerFrames, and ClientFrames
  # into bytes. The layers above see only the messages of proto/, neither HTTP/2 nor gRPC.

  alias Vllm.Error
  alias Vllm.Core.Codec
  alias Vllm.Core.Wire.{Elements, GRPC, HTTP2, Socket}
  alias Vllm.Proto.{ClientFrame, ClientHello, Failure, ServerFrame, ServerHello}

  @protocol_version 1
  @client_version Mix.Project.config()[:version] || "dev"
  @path "/vllm_bridge.v1.Bridge/Session"

  @enforce_keys [:http2, :stream_id]
  # goaway: the reason that a GOAWAY of the worker had
  defstruct [:http2, :stream_id, grpc: %GRPC{}, goaway: nil]

  @type t :: %__MODULE__{
          http2: HTTP2.t(),
          stream_id: HTTP2.stream_id(),
          grpc: GRPC.t(),
          goaway: String.t() | nil
        }

  @doc """
  Makes a session. Returns the bytes to send first, which end with the client's hello; the versions are
  filled in.
  """
  @spec open(ClientHello.t()) :: {iodata(), t()}
  def open(%ClientHello{} = hello) do
    {preface, http2} = HTTP2.new()
    {stream_id, headers, http2} = HTTP2.open_stream(http2, @path, GRPC.headers())
    session = %__MODULE__{http2: http2, stream_id: stream_id}

    hello = %{hello | protocol_version: @protocol_version, client_version: @client_version}
    {frame, session} = encode(session, %ClientFrame{hello: hello})
    {[preface, headers, frame], session}
  end

  @doc "Returns the bytes of a frame, as much as flow control allows now."
  @spec encode(t(), ClientFrame.t()) :: {iodata(), t()}
  def encode(session, frame) do
    message = frame |> ClientFrame.encode() |> GRPC.frame()
    {out, http2} = HTTP2.send_data(session.http2, session.stream_id, message)
    {out, %{session | http2: http2}}
  end

  @doc "The bytes of a ping, which the worker answers whatever its engines do."
  @spec ping() :: iodata()
  def ping, do: HTTP2.ping()

  @doc """
  Handles bytes from the socket. Returns what the frames that are complete hold, the error that ended the
  session after them or `nil`, and the bytes to send in either case.
  """
  @spec handle_bytes(t(), binary()) :: {[Elements.element()], Error.t() | nil, iodata(), t()}
  def handle_bytes(session, bytes) do
    case HTTP2.handle_bytes(session.http2, bytes) do
      {:ok, events, out, http2} ->
        {frames, error, session} = take(events, %{session | http2: http2}, [])
        {Enum.reverse(frames), error, out, session}

      # The frames before the error may say why the worker ended.
      {:error, error, events, out} ->
        {frames, ended, session} = take(events, session, [])
        {Enum.reverse(frames), ended || error, out, session}
    end
  end

  defp take([], session, frames), do: {frames, nil, session}

  defp take([event | events], session, frames) do
    case handle_event(event, session, frames) do
      {:ok, session, frames} -> take(events, session, frames)
      {:error, error} -> {frames, error, session}
      {:error, error, frames} -> {frames, error, session}
    end
  end

  defp handle_event({:data, id, bytes, _last?}, %{stream_id: id} = session, frames) do
    case GRPC.push(session.grpc, bytes) do
      {:ok, messages, grpc} ->
        with {:ok, frames} <- decode(messages, frames),
             do: {:ok, %{session | grpc: grpc}, frames}

      {:error, error, messages} ->
        with {:ok, frames} <- decode(messages, frames), do: {:error, error, frames}
    end
  end

  defp handle_event({:headers, id, 200, headers, last?}, %{stream_id: id} = session, frames) do
    if last?, do: {:error, GRPC.error(headers)}, else: {:ok, session, frames}
  end

  defp handle_event({:headers, id, status, _headers, _last?}, %{stream_id: id}, _frames),
    do: {:error, GRPC.http_error(status)}

  defp handle_event({:trailers, id, trailers}, %{stream_id: id}, _frames),
    do: {:error, GRPC.error(trailers)}

  defp handle_event({:reset, id, reason}, %{stream_id: id}, _frames),
    do: {:error, Error.new(:worker_down, "the worker reset the session: #{reason}")}

  # A worker that drains sends GOAWAY. The session goes on until its calls have ended.
  defp handle_event({:goaway, reason}, session, frames),
    do: {:ok, %{session | goaway: reason}, frames}

  defp handle_event(_other, session, frames), do: {:ok, session, frames}

  defp decode([], frames), do: {:ok, frames}

  defp decode([message | messages], frames) do
    case Elements.split(message, frames) do
      {:ok, frames} ->
        decode(messages, frames)

      {:error, reason} ->
        error = Error.new(:protocol, "a frame of the worker cannot be decoded: #{reason}")
        {:error, error, frames}
    end
  end

  @doc "Checks the first frame of a worker: its hello, or the reason why it refuses the session."
  # gRPC's listener serves sessions too, and more slowly. Its hello names the sessions' listener.
  @spec check_hello(Elements.element()) :: {:ok, ServerHello.t()} | {:error, Error.t()}
  def check_hello(%ServerFrame{failure: %Failure{} = failure}) do
    {:error, Codec.Failure.from_proto(failure)}
  end

  def check_hello(%ServerFrame{hello: %ServerHello{session_address: "" <> _ = uri}})
      when uri != "" do
    address = Socket.from_uri(uri)

    {:error,
     Error.new(
       :protocol,
       "this address serves gRPC; sessions are opened at #{Socket.shown(address)}: use that address",
       details: %{"session_address" => address}
     )}
  end

  def check_hello(%ServerFrame{hello: %ServerHello{protocol_version: @protocol_version} = hello}) do
    {:ok, hello}
  end

  def check_hello(%ServerFrame{hello: %ServerHello{protocol_version: theirs} = hello}) do
    {:error,
     Error.new(
       :protocol,
       "the worker (python_worker #{hello.worker_version}) speaks protocol version #{theirs}, " <>
         "this client (vllm_bridge #{@client_version}) version #{@protocol_version}; install the " <>
         "same release on both sides",
       details: %{"worker" => theirs, "client" => @protocol_version}
     )}
  end

  def check_hello(_other) do
    {:error, Error.new(:protocol, "the first frame of the worker is not a hello")}
  end
end
