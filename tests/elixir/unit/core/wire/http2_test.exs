defmodule Vllm.Core.Wire.HTTP2Test do
  use ExUnit.Case, async: true

  alias Vllm.{Cuts, Error, HTTP2Peer}
  alias Vllm.Core.Wire.HTTP2

  test "a request reaches the peer with its path, headers and body" do
    {http2, peer, id} = connected()
    {out, _http2} = HTTP2.send_data(http2, id, ["he", "llo"])
    {events, _out, _peer} = HTTP2Peer.handle_bytes(peer, binary(out))
    assert [{:data, ^id, :nofin, "hello"}] = events
  end

  test "opening a stream sends a POST with gRPC's headers" do
    {preface, http2} = HTTP2.new()
    {id, out, _http2} = HTTP2.open_stream(http2, "/a/path", [{"te", "trailers"}])
    {_preface, peer} = HTTP2Peer.new()
    {events, _out, _peer} = HTTP2Peer.handle_bytes(peer, binary([preface, out]))
    assert [{:headers, ^id, %{method: "POST", path: "/a/path"}, [{"te", "trailers"}]}] = events
  end

  test "data and trailers are events in order, wherever the bytes are cut" do
    {http2, peer, id} = connected()
    body = :crypto.strong_rand_bytes(200_000)
    {data, peer} = HTTP2Peer.send_data(peer, id, body)
    {trailers, _peer} = HTTP2Peer.send_trailers(peer, id, [{"grpc-status", "0"}])
    bytes = binary([data, trailers])

    for seed <- 1..50 do
      {events, _http2} = handle_all(http2, Cuts.random(bytes, seed))
      {received, last} = Enum.split(events, -1)
      assert received |> Enum.map(fn {:data, ^id, part, false} -> part end) |> binary() == body
      assert last == [{:trailers, id, [{"grpc-status", "0"}]}]
    end
  end

  test "the first part of a DATA frame is passed on before the rest arrives" do
    {http2, _peer, id} = connected()
    frame = binary(:cow_http2.data(id, :fin, "hello"))
    <<first::binary-size(11), second::binary-size(1), third::binary>> = frame
    assert {:ok, [{:data, ^id, "he", false}], [], http2} = HTTP2.handle_bytes(http2, first)
    assert {:ok, [{:data, ^id, "l", false}], [], http2} = HTTP2.handle_bytes(http2, second)
    assert {:ok, [{:data, ^id, "lo", true}], [], _http2} = HTTP2.handle_bytes(http2, third)
  end

  test "data beyond the peer's window follows when the window opens" do
    {http2, peer, id} = connected(%{initial_stream_window_size: 65_535})
    body = :crypto.strong_rand_bytes(1_000_000)
    {out, http2} = HTTP2.send_data(http2, id, body)
    assert IO.iodata_length(out) < 70_000
    assert transfer(http2, peer, id, out, "") == body
  end

  test "a large binary between small ones is sent without a copy, in order" do
    {http2, peer, id} = connected(%{initial_stream_window_size: 65_535})
    body = :crypto.strong_rand_bytes(1_000_000)
    {out, http2} = HTTP2.send_data(http2, id, ["head", [body | "middle"], body, "tail"])

    parts =
      for part <- :lists.flatten(out), is_binary(part), do: :binary.referenced_byte_size(part)

    assert Enum.max(parts) == 1_000_000
    assert transfer(http2, peer, id, out, "") == "head" <> body <> "middle" <> body <> "tail"
  end

  test "queued data is sent in order" do
    {http2, peer, id} = connected()
    parts = for n <- 1..300, do: :binary.copy(<<n>>, 1 + rem(n * 7919, 5000))

    {out, http2} =
      Enum.map_reduce(parts, http2, fn part, http2 -> HTTP2.send_data(http2, id, part) end)

    assert transfer(http2, peer, id, out, "") == binary(parts)
  end

  test "the window is given back, so that the peer can go on sending" do
    {http2, peer, id} = connected()
    chunk = :binary.copy("x", 1024 * 1024)

    {_http2, _peer, received} =
      Enum.reduce(1..40, {http2, peer, 0}, fn _, {http2, peer, received} ->
        {out, peer} = HTTP2Peer.send_data(peer, id, chunk)
        {:ok, events, answer, http2} = HTTP2.handle_bytes(http2, binary(out))
        {_events, more, peer} = HTTP2Peer.handle_bytes(peer, binary(answer))
        {:ok, more_events, answer, http2} = HTTP2.handle_bytes(http2, binary(more))
        {_events, [], peer} = HTTP2Peer.handle_bytes(peer, binary(answer))

        size =
          for {:data, _, part, _} <- events ++ more_events,
              reduce: 0,
              do: (n -> n + byte_size(part))

        {http2, peer, received + size}
      end)

    assert received > 39 * 1024 * 1024
  end

  test "a ping is answered" do
    {http2, _peer, _id} = connected()
    {:ok, [], out, _http2} = HTTP2.handle_bytes(http2, binary(:cow_http2.ping(42)))
    assert binary(out) == binary(:cow_http2.ping_ack(42))
  end

  test "RST_STREAM and GOAWAY are events" do
    {http2, _peer, id} = connected()
    bytes = binary([:cow_http2.rst_stream(id, :cancel), :cow_http2.goaway(0, :no_error, "bye")])

    assert {:ok, [{:reset, ^id, "cancel"}, {:goaway, "no_error: bye"}], _out, _http2} =
             HTTP2.handle_bytes(http2, bytes)
  end

  test "a goaway is the same event wherever it is cut" do
    {http2, _peer, _id} = connected()
    bytes = binary(:cow_http2.goaway(1, :enhance_your_calm, "calm down"))

    for size <- 1..byte_size(bytes) do
      {events, _http2} = handle_all(http2, Cuts.every(bytes, size))
      assert events == [{:goaway, "enhance_your_calm: calm down"}]
    end
  end

  test "a GOAWAY's text is shown if it is text", %{} do
    {http2, _peer, _id} = connected()

    for {text, reason} <- [{"", "no_error"}, {<<255>>, "no_error"}, {"bye", "no_error: bye"}] do
      bytes = binary(:cow_http2.goaway(0, :no_error, text))
      assert {:ok, [{:goaway, ^reason}], [], _http2} = HTTP2.handle_bytes(http2, bytes)
    end
  end

  test "frames that say nothing to a client are no events, and the stream goes on" do
    {http2, peer, id} = connected()
    {data, _peer} = HTTP2Peer.send_data(peer, id, "data")

    for frame <- [
          :cow_http2.settings(%{max_concurrent_streams: 1}),
          :cow_http2.settings_ack(),
          :cow_http2.ping_ack(7),
          :cow_http2.window_update(1_000),
          :cow_http2.window_update(id, 1_000),
          # PRIORITY, which RFC 9113 deprecates.
          <<5::24, 2, 0, id::32, 0::32, 16>>,
          # A type that HTTP/2 does not define.
          <<3::24, 0xFA, 0xFF, id::32, "new">>
        ] do
      assert {:ok, [{:data, ^id, "data", false}], _out, %HTTP2{}} =
               HTTP2.handle_bytes(http2, binary([frame, data]))
    end
  end

  test "data leaves through a window that is smaller than it" do
    {http2, peer, id} = connected(%{initial_stream_window_size: 5})
    {out, http2} = HTTP2.send_data(http2, id, "a message")

    assert {[{:data, ^id, :nofin, "a mes"}], _out, peer} =
             HTTP2Peer.handle_bytes(peer, binary(out))

    {window, _peer} = HTTP2Peer.open_window(peer, id, 1)
    assert {:ok, [], out, _http2} = HTTP2.handle_bytes(http2, binary(window))
    assert binary(out) == binary(:cow_http2.data(id, :nofin, "s"))
  end

  test "an answer in another protocol is a readable error" do
    {_preface, http2} = HTTP2.new()
    {_id, _out, http2} = HTTP2.open_stream(http2, "/", [])

    assert {:error, %Error{kind: :protocol} = error, [], out} =
             HTTP2.handle_bytes(http2, "HTTP/1.1 400 Bad Request\r\n\r\n")

    assert error.message =~ "HTTP/2"
    assert IO.iodata_length(out) > 0
  end

  test "mutated bytes never raise" do
    {http2, peer, id} = connected()
    {data, peer} = HTTP2Peer.send_data(peer, id, :binary.copy("payload", 100))
    {trailers, _peer} = HTTP2Peer.send_trailers(peer, id, [{"grpc-status", "0"}])
    settings = :cow_http2.settings(%{initial_window_size: 1000})
    bytes = binary([settings, data, :cow_http2.ping(1), :cow_http2.window_update(9), trailers])

    for seed <- 1..20_000 do
      case HTTP2.handle_bytes(http2, Cuts.mutate(bytes, seed, 1 + rem(seed, 4))) do
        {:ok, events, out, %HTTP2{}} when is_list(events) ->
          assert IO.iodata_length(out) >= 0

        {:error, %Error{kind: :protocol}, events, out} when is_list(events) ->
          assert IO.iodata_length(out) > 0
      end
    end
  end

  # A client and a peer after the preface, the settings and the headers of one request.
  defp connected(peer_options \\ %{}) do
    {preface, http2} = HTTP2.new()
    {id, headers, http2} = HTTP2.open_stream(http2, "/service/method", [{"te", "trailers"}])
    {peer_preface, peer} = HTTP2Peer.new(peer_options)
    {:ok, [], ack, http2} = HTTP2.handle_bytes(http2, binary(peer_preface))
    {_events, answer, peer} = HTTP2Peer.handle_bytes(peer, binary([preface, headers, ack]))
    {:ok, events, [], http2} = HTTP2.handle_bytes(http2, binary(answer))
    assert [{:headers, ^id, 200, _headers, false}] = events
    {http2, peer, id}
  end

  # Carries bytes to the peer, which opens its window by what it received, until nothing is left.
  defp transfer(http2, peer, id, out, received) do
    {events, _out, peer} = HTTP2Peer.handle_bytes(peer, binary(out))
    data = for {:data, ^id, _fin, part} <- events, into: "", do: part

    if data == "" do
      received
    else
      {window, peer} = HTTP2Peer.open_window(peer, id, byte_size(data))
      {:ok, [], out, http2} = HTTP2.handle_bytes(http2, binary(window))
      transfer(http2, peer, id, out, received <> data)
    end
  end

  defp handle_all(http2, pieces) do
    Enum.reduce(pieces, {[], http2}, fn piece, {events, http2} ->
      {:ok, more, _out, http2} = HTTP2.handle_bytes(http2, piece)
      {events ++ more, http2}
    end)
  end

  defp binary(iodata), do: IO.iodata_to_binary(iodata)
end
