defmodule Vllm.Interop.GrpcGoTest do
  # The client's HTTP/2 and gRPC, and grpc-go as the server of gRPC's TestService. `make test-interop`
  # builds the server, and says where.
  #
  # The client makes one gRPC call, `Session`, so what of it is general is tested: streams of one
  # connection, messages both ways, statuses. It never cancels a call alone, it closes its connection:
  # the cases of cancelling are its closing, and the server goes on.
  use ExUnit.Case, async: true

  alias Vllm.Error
  alias Vllm.Core.Wire.{GRPC, HTTP2, Protobuf}

  @moduletag :interop

  @requests [27_182, 8, 1_828, 45_904]
  @responses [31_415, 9, 2_653, 58_979]
  @special "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"

  setup_all do
    server = Path.join(System.fetch_env!("VLLM_BRIDGE_INTEROP"), "server")
    port = Port.open({:spawn_executable, server}, [:binary, line: 100])
    assert_receive {^port, {:data, {:eol, line}}}
    %{address: String.to_integer(line)}
  end

  setup %{address: address} do
    %{connection: connect(address)}
  end

  test "empty_unary", %{connection: connection} do
    assert {[""], {0, ""}, _connection} = call(connection, "EmptyCall", [""])
  end

  test "large_unary, and several calls in one connection", %{connection: connection} do
    request = [number(2, 314_159), field(3, payload(271_828))]

    Enum.reduce(1..3, connection, fn _, connection ->
      assert {[response], {0, ""}, connection} = call(connection, "UnaryCall", [request])
      assert body_size(response) == 314_159
      connection
    end)
  end

  test "client_streaming", %{connection: connection} do
    requests = for size <- @requests, do: field(1, payload(size))
    assert {[response], {0, ""}, _} = call(connection, "StreamingInputCall", requests)
    assert response == binary(number(1, Enum.sum(@requests)))
  end

  test "server_streaming", %{connection: connection} do
    request = for size <- @responses, do: field(2, number(1, size))
    assert {responses, {0, ""}, _} = call(connection, "StreamingOutputCall", [request])
    assert Enum.map(responses, &body_size/1) == @responses
  end

  test "ping_pong", %{connection: connection} do
    {id, connection} = open(connection, "FullDuplexCall")

    {connection, _grpc} =
      for {request, response} <- Enum.zip(@requests, @responses), reduce: {connection, %GRPC{}} do
        {connection, grpc} ->
          connection = send_message(connection, id, output(request, response), :nofin)
          {[message], grpc, connection} = receive_messages(connection, id, grpc)
          assert body_size(message) == response
          {connection, grpc}
      end

    connection = send_data(connection, id, "", :fin)
    assert {[], {0, ""}, _} = receive_all(connection, id)
  end

  test "empty_stream", %{connection: connection} do
    assert {[], {0, ""}, _} = call(connection, "FullDuplexCall", [])
  end

  test "timeout_on_sleeping_server", %{connection: connection} do
    headers = [{"grpc-timeout", "1m"}]
    {id, connection} = open(connection, "FullDuplexCall", headers)
    connection = send_message(connection, id, field(3, payload(27_182)), :nofin)
    # grpc-go ends such a call with a status, or resets its stream.
    assert {[], ended, _} = receive_all(connection, id)
    assert ended in [:reset, {4, "context deadline exceeded"}]
  end

  test "cancel_after_begin: a connection that is closed ends its calls and no others", context do
    {_id, connection} = open(context.connection, "StreamingInputCall")
    :ok = :gen_tcp.close(connection.socket)
    assert {[""], {0, ""}, _} = call(connect(context.address), "EmptyCall", [""])
  end

  test "cancel_after_first_response", context do
    {id, connection} = open(context.connection, "FullDuplexCall")
    connection = send_message(connection, id, output(27_182, 31_415), :nofin)
    assert {[_message], _grpc, connection} = receive_messages(connection, id, %GRPC{})
    :ok = :gen_tcp.close(connection.socket)
    assert {[""], {0, ""}, _} = call(connect(context.address), "EmptyCall", [""])
  end

  test "status_code_and_message", %{connection: connection} do
    status = field(7, [number(1, 2), field(2, "test status message")])

    Enum.reduce(["UnaryCall", "FullDuplexCall"], connection, fn method, connection ->
      assert {[], {2, "test status message"}, connection} = call(connection, method, [status])
      connection
    end)
  end

  test "special_status_message", %{connection: connection} do
    status = field(7, [number(1, 2), field(2, @special)])
    assert {[], {2, @special}, _} = call(connection, "UnaryCall", [status])
  end

  test "unimplemented_method", %{connection: connection} do
    assert {[], {12, message}, _} = call(connection, "UnimplementedCall", [""])
    assert message =~ "UnimplementedCall"
  end

  test "unimplemented_service", %{connection: connection} do
    path = "/grpc.testing.UnimplementedService/UnimplementedCall"
    assert {[], {12, message}, _} = call(connection, path, [""])
    assert message =~ "UnimplementedService"
  end

  ## A client of these calls

  defp connect(address) do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, address, [:binary, active: false])
    {preface, http2} = HTTP2.new()
    :ok = :gen_tcp.send(socket, preface)
    %{socket: socket, http2: http2, events: []}
  end

  defp call(connection, method, requests) do
    {id, connection} = open(connection, method)

    requests
    |> Enum.reduce(connection, &send_message(&2, id, &1, :nofin))
    |> send_data(id, "", :fin)
    |> receive_all(id)
  end

  defp open(connection, method, headers \\ []) do
    path = if method =~ "/", do: method, else: "/grpc.testing.TestService/#{method}"
    {id, out, http2} = HTTP2.open_stream(connection.http2, path, GRPC.headers() ++ headers)
    :ok = :gen_tcp.send(connection.socket, out)
    {id, %{connection | http2: http2}}
  end

  defp send_message(connection, id, message, fin),
    do: send_data(connection, id, GRPC.frame(message), fin)

  defp send_data(connection, id, data, fin) do
    {out, http2} = HTTP2.send_data(connection.http2, id, data, fin)
    :ok = :gen_tcp.send(connection.socket, out)
    %{connection | http2: http2}
  end

  defp receive_all(connection, id, grpc \\ %GRPC{}, messages \\ []) do
    case next(connection, id) do
      {{:data, bytes}, connection} ->
        {:ok, more, grpc} = GRPC.push(grpc, bytes)
        receive_all(connection, id, grpc, messages ++ more)

      {:reset, connection} ->
        {messages, :reset, connection}

      {{:ended, trailers}, connection} ->
        {messages, status(trailers), connection}
    end
  end

  defp receive_messages(connection, id, grpc) do
    {{:data, bytes}, connection} = next(connection, id)

    case GRPC.push(grpc, bytes) do
      {:ok, [], grpc} -> receive_messages(connection, id, grpc)
      {:ok, messages, grpc} -> {messages, grpc, connection}
    end
  end

  # What comes next of a stream.
  defp next(%{events: [event | events]} = connection, id) do
    connection = %{connection | events: events}

    case event do
      {:headers, ^id, 200, headers, true} -> {{:ended, headers}, connection}
      {:headers, ^id, 200, _headers, false} -> next(connection, id)
      {:data, ^id, bytes, _last?} -> {{:data, bytes}, connection}
      {:trailers, ^id, trailers} -> {{:ended, trailers}, connection}
      {:reset, ^id, _reason} -> {:reset, connection}
      {:reset, _earlier, _reason} -> next(connection, id)
    end
  end

  defp next(connection, id) do
    {:ok, bytes} = :gen_tcp.recv(connection.socket, 0, 60_000)
    {:ok, events, out, http2} = HTTP2.handle_bytes(connection.http2, bytes)
    :ok = :gen_tcp.send(connection.socket, out)
    next(%{connection | http2: http2, events: events}, id)
  end

  # The client's own reading of a status: the kind of error and its text tell the code and the message.
  defp status(trailers) do
    {"grpc-status", code} = List.keyfind(trailers, "grpc-status", 0)

    case GRPC.error(trailers) do
      %Error{details: details, message: message} when map_size(details) > 0 ->
        {String.to_integer(code),
         String.replace_prefix(message, "the worker ended the session: ", "")}

      %Error{message: "the worker ended the session"} ->
        {String.to_integer(code), ""}
    end
  end

  ## Messages of TestService

  defp payload(size), do: field(2, :binary.copy(<<0>>, size))
  defp output(request, response), do: [field(2, number(1, response)), field(3, payload(request))]
  defp number(field, value), do: [Protobuf.varint(field * 8), Protobuf.varint(value)]

  defp field(field, content),
    do: [Protobuf.varint(field * 8 + 2), Protobuf.varint(IO.iodata_length(content)), content]

  # A response holds a payload, which holds a body.
  defp body_size(response) do
    {:ok, 10, rest} = Protobuf.take_uint64(response)
    {:ok, payload, ""} = Protobuf.take_bytes(rest)
    {:ok, 18, rest} = Protobuf.take_uint64(payload)
    {:ok, body, ""} = Protobuf.take_bytes(rest)
    byte_size(body)
  end

  defp binary(iodata), do: IO.iodata_to_binary(iodata)
end
