defmodule Vllm.Core.Wire.GRPC do
  @moduledoc false
  # gRPC over HTTP/2, as much as a client of one bidirectional stream needs: a message is a prefix of
  # five bytes and a body, and a stream ends with a status in its trailers.
  #
  # A message of 64 MB arrives in many DATA frames, so the parts of an unfinished message are kept in a
  # list and joined once.

  alias Vllm.Error

  # The worker has the same limit. A prefix that announces more is an attack or a framing error.
  @max_message 256 * 1024 * 1024

  @headers [
    {"te", "trailers"},
    {"content-type", "application/grpc"},
    {"user-agent", "vllm-bridge-elixir"}
  ]

  # gRPC's status code => the kind of error that it is for a user of the bridge, and its name. From
  # https://grpc.github.io/grpc/core/md_doc_statuscodes.html
  @status %{
    # This client never cancels a session. gRPC cancels one that reaches a server that is stopping.
    1 => {:worker_down, "CANCELLED"},
    2 => {:python, "UNKNOWN"},
    3 => {:invalid, "INVALID_ARGUMENT"},
    4 => {:timeout, "DEADLINE_EXCEEDED"},
    5 => {:not_found, "NOT_FOUND"},
    6 => {:conflict, "ALREADY_EXISTS"},
    7 => {:forbidden, "PERMISSION_DENIED"},
    8 => {:overloaded, "RESOURCE_EXHAUSTED"},
    9 => {:protocol, "FAILED_PRECONDITION"},
    10 => {:conflict, "ABORTED"},
    11 => {:invalid, "OUT_OF_RANGE"},
    12 => {:protocol, "UNIMPLEMENTED"},
    13 => {:protocol, "INTERNAL"},
    14 => {:worker_down, "UNAVAILABLE"},
    15 => {:protocol, "DATA_LOSS"},
    16 => {:unauthenticated, "UNAUTHENTICATED"}
  }

  # pending: the parts of the next message, newest first
  # size: their bytes
  # need: the bytes to wait for: the prefix, then prefix and body
  defstruct pending: [], size: 0, need: 5

  @opaque t :: %__MODULE__{
            pending: [binary()],
            size: non_neg_integer(),
            need: pos_integer()
          }

  @doc "The headers that open a gRPC call."
  @spec headers() :: [{binary(), binary()}]
  def headers, do: @headers

  @doc "Puts the prefix in front of a message."
  @spec frame(iodata()) :: iodata()
  def frame(message), do: [<<0, IO.iodata_length(message)::32>> | message]

  @doc """
  Takes the bytes of one DATA frame and returns the messages they complete. An error, which ends the
  stream, comes with the messages before it.
  """
  @spec push(t(), binary()) :: {:ok, [binary()], t()} | {:error, Error.t(), [binary()]}
  def push(%__MODULE__{} = grpc, bytes) do
    collect(
      %{grpc | pending: [bytes | grpc.pending], size: grpc.size + byte_size(bytes)},
      []
    )
  end

  defp collect(%{size: size, need: need} = grpc, messages) when size < need do
    {:ok, Enum.reverse(messages), grpc}
  end

  defp collect(grpc, messages), do: split(join(grpc.pending), grpc.need, messages)

  # One DATA frame usually holds several messages, which are sub-binaries of it.
  defp split(<<0, length::32, _::binary>>, _need, messages) when length > @max_message do
    refused(
      "the worker announced a message of #{length} bytes; the limit is #{@max_message}",
      messages
    )
  end

  defp split(<<0, length::32, body::binary-size(length), rest::binary>>, _need, messages),
    do: split(rest, 5, [body | messages])

  defp split(<<0, length::32, _::binary>> = bytes, _need, messages),
    do: {:ok, Enum.reverse(messages), rest(bytes, 5 + length)}

  defp split(<<flag, _::32, _::binary>>, _need, messages) do
    refused(
      "the worker sent a message with the compression flag #{flag}; this client asked for none",
      messages
    )
  end

  defp split(bytes, _need, messages), do: {:ok, Enum.reverse(messages), rest(bytes, 5)}

  defp refused(message, messages),
    do: {:error, Error.new(:protocol, message), Enum.reverse(messages)}

  defp rest("", need), do: %__MODULE__{need: need}
  defp rest(bytes, need), do: %__MODULE__{pending: [bytes], size: byte_size(bytes), need: need}

  defp join([bytes]), do: bytes
  defp join(pending), do: pending |> Enum.reverse() |> IO.iodata_to_binary()

  @doc """
  The error for a stream that the worker has ended. The status OK is an error too, because only the
  client ends a session.
  """
  @spec error([{binary(), binary()}]) :: Error.t()
  def error(trailers) do
    message = trailers |> header("grpc-message") |> percent_decode()

    case Integer.parse(header(trailers, "grpc-status")) do
      {0, ""} ->
        Error.new(:worker_down, "the worker ended the session")

      {code, ""} when is_map_key(@status, code) ->
        {kind, name} = @status[code]
        Error.new(kind, "the worker ended the session: #{message}", details: %{"grpc" => name})

      _other ->
        Error.new(:protocol, "the worker ended the session without a gRPC status")
    end
  end

  @doc "The error for a response that is not gRPC."
  @spec http_error(integer()) :: Error.t()
  def http_error(status) do
    Error.new(
      :protocol,
      "the server answered with the HTTP status #{status}, as no worker does; check the address"
    )
  end

  defp header(headers, name) do
    case List.keyfind(headers, name, 0) do
      {^name, value} -> value
      nil -> ""
    end
  end

  # gRPC percent-encodes everything that is not printable ASCII. Invalid text is shown as received.
  defp percent_decode(text) do
    decoded = URI.decode(text)
    if String.valid?(decoded), do: decoded, else: inspect(text)
  rescue
    ArgumentError -> inspect(text)
  end
end
